"""The tables that ``run`` and ``show`` print."""

from collections.abc import Sequence

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from ..plugin.access import Access
from ..plugin.evaluator import HEADLINE
from ..records.record import Record
from .comparison import Group, groups, interval, percent, points
from .leaderboard import Board
from .standings import standings
from .suite_board import SuiteBoard


def print_records(records: Sequence[Record], console: Console) -> None:
    """A table for each set of comparable records, with what it means below; of a suite run, its board."""
    for group in groups(records):
        if group.suite:
            board = SuiteBoard(standings(group))
            print_tables(board, console)
            for note in board.notes():
                console.print(f"  {escape(note)}", highlight=False)
            continue
        console.print(_table(group))
        for line in _reading(group):
            console.print(f"  {line}", highlight=False)


def print_tables(board: Board, console: Console) -> None:
    """A leaderboard's tables, the first under its title."""
    for number, (header, body) in enumerate(board.tables()):
        table = Table(title=None if number else escape(board.title), title_justify="left")
        for column in header:
            table.add_column(escape(column), justify="left" if column.startswith(("defense", "attack,")) else "right")
        for row in body:
            table.add_row(*map(escape, row))
        console.print(table)


def _table(group: Group) -> RenderableType:
    table = Table(title=escape(group.title), title_justify="left")
    table.add_column("defense")
    table.add_column("attack")
    table.add_column("R_eval top-1 \\[95% CI]", justify="right")
    table.add_column("most judges", justify="right")
    table.add_column("vs none, points", justify="right")
    table.add_column("R_tar fooled", justify="right")
    table.add_column("median queries", justify="right")
    table.add_column("utility top-1", justify="right")
    for record in group.records:
        cells = [escape(record.defense), escape(record.attack)]
        if record.status != "ok":
            colour = "red" if record.status == "error" else "yellow"
            table.add_row(*cells, f"[{colour}]{record.status}[/]", "", "", "", "", "")
            continue
        assert record.attack_accuracy and record.queries and record.utility and record.target_success is not None
        difference = group.difference(record)
        table.add_row(
            *cells,
            escape(f"{percent(record.attack_accuracy.top1)} {interval(*record.attack_accuracy.ci95)}"),
            percent(record.majority.top1) if record.majority else "-",
            escape(points(difference)) if difference else "-",
            percent(record.target_success),
            f"{record.queries.median:,.0f}",
            percent(record.utility.top1),
        )
    return table


def _reading(group: Group) -> list[str]:
    """What the table's figures stand between, and what each defense bought."""
    lines: list[str] = []
    done = [record for record in group.records if record.status == "ok"]
    if done:
        first = done[0]
        assert first.floor is not None and first.ceiling is not None
        lines.append(
            f"R_eval: {percent(first.floor)} on the seeds (floor), {percent(first.ceiling)} on D(E(real photo)), "
            f"{percent(first.evaluators[HEADLINE].real_top1)} on real photos."
        )
        if not group.conclusive:
            lines.append("Too few identities or trials to conclude anything: it takes at least 5 and 2.")
    for record in group.records:
        if record.status != "ok":
            lines.append(escape(f"{record.defense}, {record.attack}: {record.status}: {record.reason}"))
        elif record.access is not Access.WHITE_BOX and group.conclusive and (difference := group.difference(record)):
            lines.append(escape(f"{record.defense}: {record.attack} {_verdict(difference)}."))
    if any(record.defense != "none" and record.access is not Access.WHITE_BOX for record in done):
        lines.append("One attack that fails is no protection: --suite v1 measures the worst case over many.")
    if any(record.access is Access.WHITE_BOX and record.status == "ok" for record in group.records):
        lines.append("White-box attackers hold the weights: a defense of the outputs does not concern them.")
    return lines


def _verdict(difference: tuple[float, float, float]) -> str:
    mean, low, high = difference
    if high < 0:
        return f"loses {-100 * mean:.1f} points of R_eval accuracy"
    if low > 0:
        return f"gains {100 * mean:.1f} points of R_eval accuracy"
    return "does no better or worse that this run can show"
