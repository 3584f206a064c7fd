"""What ``survey score`` prints: our Tables II and III, and the paper's."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..board.comparison import interval, percent
from ..paper.published import TABLE_II, TABLE_III
from ..paper.published import Row as Published
from .score import FEWEST, Row, Scores, Share


def print_scores(scores: Scores, console: Console) -> None:
    """Both tables, each with the paper's below and with what its figures stand between."""

    def say(line: str) -> None:
        console.print(f"  {escape(line)}", highlight=False)

    first = Table(title="As Table II, identification: the right face was chosen", title_justify="left")
    _columns(first, scores.identification)
    for row in scores.identification:
        _add(first, row.attack, row)
    console.print(first)
    say(f"By chance: {percent(scores.chance)}, one of {round(1 / scores.chance)} faces.")
    say(_unanswered(scores.identification))
    _paper("Table II of the paper, its own five people", TABLE_II, console)

    console.print()
    second = Table(title="As Table III, similarity: called the same person as on the photo", title_justify="left")
    _columns(second, scores.similarity)
    for genuine, impostor in zip(scores.similarity, scores.false_alarms, strict=True):
        _add(second, f"{genuine.attack}, genuine pairs", genuine)
        _add(second, f"{impostor.attack}, impostor pairs", impostor)
    console.print(second)
    say("Impostor pairs give the false-alarm rate; genuine pairs say something only as far as they exceed it.")
    say(_unanswered([*scores.similarity, *scores.false_alarms]))
    _paper("Table III of the paper, its own five people; genuine pairs", TABLE_III, console)

    console.print()
    who = f"{scores.participants} participant{'s' * (scores.participants > 1)}, defense {scores.defense}"
    if scores.participants >= FEWEST:
        say(f"{who}. In brackets 95% intervals, bootstrap over participants; they speak of other participants,")
        say("not of other people's faces, nor of other reconstructions.")
    else:
        say(f"{who}: too few for intervals, which take {FEWEST}. The figures describe these people and nobody else.")


def _columns(table: Table, rows: Sequence[Row]) -> None:
    table.add_column("attack")
    for identity in rows[0].by_identity:
        table.add_column(escape(identity), justify="right")
    table.add_column("average", justify="right")


def _add(table: Table, name: str, row: Row) -> None:
    table.add_row(escape(name), *(_cell(share) for share in row.by_identity.values()), _cell(row.average))


def _cell(share: Share) -> str:
    if share.share is None:
        return "-"
    return escape(percent(share.share) + (f"\n{interval(*share.ci95)}" if share.ci95 else ""))


def _unanswered(rows: Sequence[Row]) -> str:
    asked = sum(row.average.asked for row in rows)
    return f"{asked - sum(row.average.answered for row in rows):,} of {asked:,} unanswered, and left out."


def _paper(title: str, rows: Sequence[Published], console: Console) -> None:
    table = Table(title=title, title_justify="left", title_style="dim italic", border_style="dim")
    table.add_column("attack")
    for place in range(1, len(rows[0].by_identity) + 1):
        table.add_column(f"ID{place}", justify="right")
    table.add_column("average", justify="right")
    for row in rows:
        table.add_row(row.attack, *(f"{value:.1f}%" for value in row.by_identity), f"{row.average:.1f}%")
    console.print(table)
    for row in rows:
        if row.remark:
            console.print(f"  {row.attack}: {row.remark}.", highlight=False)
