"""Who wants to know how a run goes."""

from ..records.record import Record
from .cell import Cell


class Watcher:
    """Told what a run does; the default looks away. The command line draws progress bars with it."""

    def cell_started(self, cell: Cell, trials: int) -> None:
        """A cell begins; ``trials`` over all its folds."""

    def queried(self, images: int) -> None:
        """So many images reached the target."""

    def finished(self, trials: int) -> None:
        """So many trials are over."""

    def cell_done(self, cell: Cell, result: Record, resumed: bool) -> None:
        """A cell has its record, from now or (``resumed``) from before."""

    def working(self, what: str, step: int, steps: int) -> None:
        """Something long, such as a training, has come so far."""
