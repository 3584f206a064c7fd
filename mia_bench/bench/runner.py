"""Runs cells: resumes what is done, executes the rest, writes each record whole."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..files import write_atomic
from ..records import record
from ..records.record import Record
from .cell import Cell
from .executor import Executor, InProcess
from .watcher import Watcher
from .worker import Worker


def run(
    cells: Sequence[Cell],
    out: Path,
    *,
    fresh: bool = False,
    executor: Executor | None = None,
    watcher: Watcher | None = None,
) -> Iterator[Record]:
    """The record of each cell in order; those already in ``out`` are not run again unless ``fresh``."""
    watcher = watcher or Watcher()
    worker = Worker(watcher if executor is None else Watcher())  # progress cannot be watched from elsewhere
    executor = executor or InProcess()
    existing = [None if fresh else finished_record(cell, out) for cell in cells]
    jobs = [
        executor.submit(worker.execute, cell) if done is None else None
        for cell, done in zip(cells, existing, strict=True)
    ]
    for cell, done, job in zip(cells, existing, jobs, strict=True):
        if done is not None:
            watcher.cell_done(cell, done, True)
            yield done
        if job is None:
            continue
        outcome = job.result()
        if outcome.tensors:
            write_atomic(out / f"{cell.cell_id}.safetensors", outcome.tensors)
        record.write(outcome.result, out)  # last: the record says that the cell is done
        watcher.cell_done(cell, outcome.result, False)
        yield outcome.result


def finished_record(cell: Cell, out: Path) -> Record | None:
    """The cell's record if it is there and did not fail: what failed is tried again."""
    file = out / f"{cell.cell_id}.json"
    if not file.exists():
        return None
    existing = record.read(file)
    return None if existing.status == "error" else existing
