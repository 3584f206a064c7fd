"""Runs cells: resumes what is done, judges what was only attempted, executes the rest, writes each record whole."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from ..files import write_atomic
from ..plugin.errors import RequestError
from ..records import attempt as attempts
from ..records import record as records
from ..records.record import Record
from .cell import Cell
from .executor import Executor, InProcess, Job
from .watcher import Watcher
from .worker import Outcome, Worker


def run(
    cells: Sequence[Cell],
    out: Path,
    *,
    fresh: bool = False,
    executor: Executor | None = None,
    watcher: Watcher | None = None,
) -> Iterator[Record]:
    """The record of each cell, as they are done: those already in ``out`` first, unless ``fresh``."""
    watcher = watcher or Watcher()
    worker = Worker(watcher if executor is None else Watcher())  # progress cannot be watched from elsewhere
    executor = executor or InProcess()
    jobs: dict[Job[Outcome], Cell] = {}
    for cell in cells:
        done = None if fresh else finished_record(cell, out)
        if done is not None:
            watcher.cell_done(cell, done, True)
            yield done
        else:
            call, arguments = _work(worker, cell, out, fresh)
            jobs[executor.submit(call, *arguments)] = cell
    for job in as_completed(jobs):
        outcome = job.result()
        _write(outcome, out)
        watcher.cell_done(jobs[job], outcome.record, False)
        yield outcome.record


def _work(worker: Worker, cell: Cell, out: Path, fresh: bool) -> tuple[Callable[..., Outcome], tuple[object, ...]]:
    """What is left to do for a cell that has no current record: all of it, or only to judge what it left."""
    if not fresh and attempts.file_of(cell.request.attempt_id, out).exists():
        try:
            return worker.judge, (cell, attempts.read(cell.request, cell.settings.protocol.data.image, out))
        except RequestError:
            pass  # damaged: attempted again, and replaced
    return worker.execute, (cell,)


def _write(outcome: Outcome, out: Path) -> None:
    if outcome.attempt:
        write_atomic(attempts.file_of(outcome.record.request.attempt_id, out), outcome.attempt)
    records.write(outcome.record, out)  # last: the record says that the cell is done


def as_completed(jobs: Sequence[Job[Outcome]] | dict[Job[Outcome], Cell]) -> Iterator[Job[Outcome]]:
    """Jobs as they are done, where the executor's can be waited for; else in order."""
    futures = [job for job in jobs if isinstance(job, Future)]
    yield from (job for job in jobs if not isinstance(job, Future))
    pending = set(futures)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        yield from (future for future in futures if future in done)


def finished_record(cell: Cell, out: Path) -> Record | None:
    """The cell's record if it is there, is what its name says, judged as asked, and did not fail: what failed is tried
    again."""
    file = out / f"{cell.cell_id}.json"
    if not file.exists():
        return None
    existing = records.read(file)
    if existing.status == "error" or existing.request != cell.request:
        return None
    if existing.results is not None and existing.results.judgement != cell.settings.terms.judgement_id:
        return None
    return existing
