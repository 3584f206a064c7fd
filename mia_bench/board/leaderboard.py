"""The leaderboard: records to ranked tables, the same from the same records every time."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from ..files import write_atomic
from ..plugin.access import Access
from ..plugin.errors import RequestError
from ..plugin.evaluator import HEADLINE
from ..records.record import Record
from .comparison import Group, Table, groups, interval, percent, points
from .standings import standings
from .suite_board import SuiteBoard


@dataclass(frozen=True)
class Row:
    """One defense. ``by_attack`` holds its record of each attack, where there is one."""

    defense: str
    by_attack: dict[str, Record]

    @property
    def headline(self) -> Record | None:
        """The record of the black-box attack that does best against it: what it is ranked by.

        White-box rows are a reference: an output-side defense cannot change them.
        """
        done = [r for r in self.by_attack.values() if r.status == "ok" and r.access is not Access.WHITE_BOX]
        return max(done, key=_top1, default=None)


@dataclass(frozen=True)
class Leaderboard:
    """All defenses of one protocol under one setting, the best protection first."""

    group: Group
    attacks: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def name(self) -> str:
        """The protocol's."""
        return self.group.records[0].protocol.name

    @property
    def title(self) -> str:
        """What was run, in one line."""
        return self.group.title

    @property
    def ranked_by(self) -> dict[str, float]:
        """The headline top-1 of each ranked defense."""
        return {row.defense: _top1(row.headline) for row in self.rows if row.headline}

    def tables(self) -> list[Table]:
        """One."""
        return [self.cells()]

    def cells(self) -> Table:
        """Header and rows as text."""
        header = ["rank", "defense"]
        for attack in self.attacks:
            header += [f"{attack} top-1 [95% CI]", f"{attack} queries"]
        header += ["vs none [95% CI]", "utility"]
        body = []
        for place, row in enumerate(self.rows, start=1):
            headline = row.headline
            difference = self.group.difference(headline) if headline else None
            line = [str(place) if headline else "-", row.defense]
            for attack in self.attacks:
                line += _outcome(row.by_attack.get(attack))
            utility = next((r.utility for r in row.by_attack.values() if r.utility), None)
            line += [points(difference) if difference else "-", percent(utility.top1) if utility else "-"]
            body.append(line)
        return header, body

    def csv_rows(self) -> list[list[object]]:
        """A header, then a row a record: fractions in 0..1, queries as counts."""
        header = ["rank", "defense", "attack", "access", "status", "top1", "ci95_low", "ci95_high", "top5"]
        header += ["median_queries", "total_queries", "difference", "difference_low", "difference_high"]
        header += ["utility_top1", "utility_top5", "floor", "ceiling", "seed", "cell_id"]
        rows: list[list[object]] = [[*header]]
        for place, row in enumerate(self.rows, start=1):
            for attack in self.attacks:
                record = row.by_attack.get(attack)
                if record is None:
                    continue
                accuracy, queries, utility = record.attack_accuracy, record.queries, record.utility
                own: list[object] = [place if row.headline else "", row.defense, attack, record.access.value]
                rows.append(
                    [*own, record.status]
                    + ([accuracy.top1, *accuracy.ci95, accuracy.top5] if accuracy else [""] * 4)
                    + ([queries.median, queries.total] if queries else [""] * 2)
                    + list(self.group.difference(record) or [""] * 3)
                    + ([utility.top1, utility.top5] if utility else [""] * 2)
                    + ["" if record.floor is None else record.floor, "" if record.ceiling is None else record.ceiling]
                    + [record.seed, record.cell_id]
                )
        return rows

    def notes(self) -> list[str]:
        """One paragraph: what the figures mean and stand between."""
        done = [record for record in self.group.records if record.status == "ok"]
        lines = [
            "Top-1 is R_eval's on the reconstructions, queries the median a trial, vs none in points of top-1, paired "
            "by identity; utility is the released top-1 on held-out photos. Ranked by the black-box attack that does "
            "best against each defense, lowest first; a white-box attacker holds the weights, so output-side defenses "
            "share that column. A difference whose interval includes 0 is a tie."
        ]
        if done and done[0].floor is not None and done[0].ceiling is not None:
            lines.append(
                f"R_eval gives {percent(done[0].floor)} on the seeds (floor), {percent(done[0].ceiling)} on "
                f"D(E(real photo)) and {percent(done[0].evaluators[HEADLINE].real_top1)} on real photos."
            )
        for row in self.rows:
            if row.headline is None:
                reasons = {r.reason for r in row.by_attack.values() if r.reason}
                lines.append(f"{row.defense} is not ranked: {'; '.join(sorted(reasons)) or 'no black-box attack ran'}.")
        return [" ".join(lines)]


Board = Leaderboard | SuiteBoard
"""Of plain records or of a suite run: a name, a title, tables, notes, rows for a CSV, and what it ranks by."""


def make(records: Sequence[Record]) -> Board:
    """Rank records made under one setting; RequestError if they were made under several, or twice."""
    found = groups(records)
    if len(found) != 1:
        titles = "; ".join(group.title for group in found)
        raise RequestError(f"these records were made under different settings and cannot be ranked together: {titles}")
    by_defense = _by_defense(found[0].records)
    return SuiteBoard(standings(found[0])) if found[0].suite else _plain_board(found[0], by_defense)


def _by_defense(records: Sequence[Record]) -> dict[str, dict[str, Record]]:
    by_defense: dict[str, dict[str, Record]] = {}
    for record in records:
        attacks = by_defense.setdefault(record.defense, {})
        if record.attack in attacks:
            raise RequestError(
                f"two records of {record.attack} against {record.defense}: {attacks[record.attack].cell_id} and "
                f"{record.cell_id}; remove the older one"
            )
        attacks[record.attack] = record
    return by_defense


def _plain_board(group: Group, by_defense: dict[str, dict[str, Record]]) -> Leaderboard:
    rows = sorted((Row(defense, attacks) for defense, attacks in by_defense.items()), key=_place)
    access_order = list(Access)[::-1]
    access = {record.attack: record.access for record in group.records}
    attacks_shown = sorted(access, key=lambda attack: (access_order.index(access[attack]), attack))
    return Leaderboard(group, tuple(attacks_shown), tuple(rows))


def _place(row: Row) -> tuple[bool, float, float, str]:
    """Ranked rows first; then the lowest attack accuracy, the highest utility, the name."""
    headline = row.headline
    if headline is None or headline.utility is None:
        return (True, 0.0, 0.0, row.defense)
    return (False, _top1(headline), -headline.utility.top1, row.defense)


def _top1(record: Record) -> float:
    return record.attack_accuracy.top1 if record.attack_accuracy else 0.0


def _outcome(record: Record | None) -> list[str]:
    if record is None:
        return ["-", "-"]
    if record.attack_accuracy is None or record.queries is None:
        return [record.status, "-"]
    accuracy = record.attack_accuracy
    return [f"{percent(accuracy.top1)} {interval(*accuracy.ci95)}", f"{record.queries.median:,.0f}"]


def markdown(board: Board) -> str:
    """GitHub Markdown, with what the figures stand between."""
    tables = [_markdown_table(table) for table in board.tables()]
    return "\n\n".join([f"{_plain(board.title)}.", *tables, *map(_plain, board.notes())]) + "\n"


def _markdown_table(table: Table) -> str:
    header, body = table
    rows = [[_plain(cell) for cell in row] for row in body]
    return tabulate(rows, [_plain(cell) for cell in header], tablefmt="pipe", disable_numparse=True)


def latex(board: Board) -> str:
    """Booktabs tables; tabulate escapes what LaTeX would read as its own."""
    parts = [f"% {board.title}"]
    for header, body in board.tables():
        parts.append(tabulate(body, header, tablefmt="latex_booktabs", disable_numparse=True))
    return "\n".join(parts) + "\n"


def as_csv(board: Board) -> str:
    """Bare numbers: fractions in 0..1, queries as counts."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(board.csv_rows())
    return buffer.getvalue()


def write(board: Board, out: Path) -> None:
    """leaderboard.md, .tex and .csv; the same records give the same files."""
    for name, content in (("md", markdown(board)), ("tex", latex(board)), ("csv", as_csv(board))):
        write_atomic(out / f"leaderboard.{name}", content.encode())


def update_document(document: Path, board: Board) -> None:
    """Write what ``updated`` gives, where it is news."""
    text = updated(document, board)
    if text != document.read_text(encoding="utf-8"):
        write_atomic(document, text.encode())


def updated(document: Path, board: Board) -> str:
    """A Markdown file with what stands between the board's markers replaced: ``leaderboard:NAME``, all of it, and for a
    suite ``attacks:NAME``, each attack against each defense. RequestError where there are none."""
    blocks = {"leaderboard": markdown(board)}
    if isinstance(board, SuiteBoard):
        blocks["attacks"] = f"{_plain(board.title)}.\n\n{_markdown_table(board.attacks())}\n"
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise RequestError(f"{document}: {error.strerror or error}") from None
    markers = {name: (f"<!-- {name}:{board.name} -->", f"<!-- /{name}:{board.name} -->") for name in blocks}
    if not any(begin in text and end in text for begin, end in markers.values()):
        begin, end = markers["leaderboard"]
        raise RequestError(f"{document} has no lines {begin} and {end} to put the table between")
    for name, (begin, end) in markers.items():
        new = f"{begin}\n{blocks[name]}{end}"
        text = re.sub(re.escape(begin) + ".*?" + re.escape(end), new.replace("\\", r"\\"), text, flags=re.DOTALL)
    return text


def _plain(text: str) -> str:
    """Text from a record as one Markdown table cell."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|").replace("\n", " ")
