"""Progress bars on stderr."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ..bench.cell import Cell
from ..bench.watcher import Watcher
from ..records.record import Record


class Bars(Watcher):
    """A bar a cell: trials done, queries, time left; one for other work, such as a training: steps done."""

    def __init__(self, cells: int) -> None:
        console = Console(stderr=True)
        self._live = console.is_terminal
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not self._live,
        )
        self._cells = cells
        self._done = 0
        self._bar: TaskID | None = None
        self._queries = 0
        self._works: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def cell_started(self, cell: Cell, trials: int) -> None:
        self._queries = 0
        self._bar = self._progress.add_task(escape(_name(cell)), total=trials, unit="trials, 0 queries")

    def queried(self, images: int) -> None:
        self._queries += images
        if self._bar is not None:
            self._progress.update(self._bar, unit=f"trials, {self._queries:,} queries")

    def finished(self, trials: int) -> None:
        if self._bar is not None:
            self._progress.advance(self._bar, trials)

    def cell_done(self, cell: Cell, result: Record, resumed: bool) -> None:
        self._done += 1
        if self._bar is not None:
            self._progress.remove_task(self._bar)
            self._bar = None
        detail = "already done" if resumed else result.status if result.status != "ok" else f"{result.wall_s:.0f} s"
        self._console.print(f"{self._done}/{self._cells} {_name(cell)}: {detail}", highlight=False, markup=False)

    def working(self, what: str, step: int, steps: int) -> None:
        if what not in self._works:
            if not self._live:
                self._console.print(f"{what}: {steps} steps", highlight=False, markup=False)
            self._works[what] = self._progress.add_task(what, total=steps, unit="steps")
        self._progress.update(self._works[what], completed=step)
        if step == steps:
            self._progress.remove_task(self._works.pop(what))


def _name(cell: Cell) -> str:
    return f"{cell.defense.spec} x {cell.attack.spec}"
