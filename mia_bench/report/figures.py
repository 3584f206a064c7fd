"""A suite run's figures, from its records."""

from collections.abc import Sequence
from pathlib import Path

from ..board.comparison import groups
from ..board.standings import standings
from ..board.suite_board import SuiteBoard
from ..records.record import Record
from . import curves, plane


def write(records: Sequence[Record], folder: Path) -> list[Path]:
    """The privacy-utility plane and the curves of one run into ``folder``; none where no defense has a headline.

    RequestError where matplotlib is not installed.
    """
    board = SuiteBoard(standings(groups(records)[0]))
    rows = [row for row in board.standings.rows if row.verdict.headline]
    if not rows:
        return []
    points = [
        plane.Point(row.defense, row.utility.top1, *row.leak[-1], suspected=bool(row.verdict.flags))
        for row in rows
        if row.utility
    ]
    lines = []
    for row in sorted(rows, key=lambda row: row.defense != "none"):
        leak, low, high = zip(*row.leak, strict=True)
        budgets = tuple(worst.budget for worst in row.verdict.worst)
        lines.append(curves.Curve(row.defense, budgets, leak, low, high, suspected=bool(row.verdict.flags)))
    return [*plane.draw(points, folder, board.title), *curves.draw(lines, folder, board.title)]
