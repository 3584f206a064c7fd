"""A suite run's figures, from its records."""

from collections.abc import Sequence
from pathlib import Path

from ..board.board import make
from ..records.record import Record
from . import curves, plane


def write(records: Sequence[Record], folder: Path) -> list[Path]:
    """The privacy-utility plane and the curves of one run into ``folder``; none where no defense has a headline.

    RequestError where matplotlib is not installed.
    """
    board = make(records)
    rows = [row for row in board.standings.rows if row.verdict.headline]
    if not rows:
        return []
    points = [
        plane.Point(row.defense, row.utility.top1, *row.leak[-1], row.verdict.suspected) for row in rows if row.utility
    ]
    lines = []
    for row in sorted(rows, key=lambda row: row.defense != "none"):
        leak, low, high = zip(*row.leak, strict=True)
        budgets = tuple(worst.budget for worst in row.verdict.worst)
        lines.append(curves.Curve(row.defense, budgets, leak, low, high, row.verdict.suspected))
    return [*plane.draw(points, folder, board.title), *curves.draw(lines, folder, board.title)]
