"""Table I: R_eval accuracy on the reconstructions, per target identity and on average, beside the paper's."""

from collections.abc import Sequence
from statistics import mean

from rich.markup import escape
from rich.table import Table

from ..board.comparison import percent
from ..plugin.headline import HEADLINE
from ..records.record import Record
from ..records.stats import few_interval
from .published import TABLE_I
from .study import BLACK_BOX, WHITE_BOX

NAMES = {WHITE_BOX: "white-box", BLACK_BOX: "black-box"}


def table(records: Sequence[Record]) -> Table:
    """Our rows and the paper's. The identities of the two have nothing in common but their number."""
    done = [record for record in records if record.status == "ok"]
    found = Table(title=escape(_title(records[0])), title_justify="left")
    found.add_column("R_eval accuracy, %")
    people = max([len(TABLE_I[0].by_identity), *(len(record.per_identity) for record in done)])
    for place in range(people):
        found.add_column(f"ID{place + 1}", justify="right")
    for column in ("average", "95% CI", "R_tar fooled", "median queries"):
        found.add_column(column, justify="right")
    for record in done:
        accuracy, queries = record.attack_accuracy, record.queries
        assert accuracy and queries and record.target_success is not None
        by_identity = [f"{100 * row.top1:.0f}" for row in record.per_identity]
        found.add_row(
            f"ours, {NAMES.get(record.attack, record.attack)}",
            *by_identity,
            *[""] * (people - len(by_identity)),
            f"{100 * accuracy.top1:.1f}",
            _interval([row.top1 for row in record.per_identity]),
            percent(record.target_success),
            f"{queries.median:,.0f}",
        )
    for row in TABLE_I:
        exact = mean(row.by_identity)
        average = f"{row.average:.1f}" if abs(exact - row.average) < 0.05 else f"{row.average:.1f} printed, {exact:.1f}"
        blank = [""] * (people - len(row.by_identity))
        found.add_row(
            f"paper, {row.attack}",
            *(f"{value:.0f}" for value in row.by_identity),
            *blank,
            average,
            _interval([value / 100 for value in row.by_identity]),
        )
    return found


def reading(records: Sequence[Record]) -> list[str]:
    """What the table's figures stand between, a line each."""
    by_attack = {record.attack: record for record in records if record.status == "ok"}
    lines = []
    for record in list(by_attack.values())[:1]:
        assert record.floor is not None and record.ceiling is not None
        lines.append(
            f"R_eval: {percent(record.floor)} on the seeds (floor), {percent(record.ceiling)} on D(E(real photo)), "
            f"{percent(record.evaluators[HEADLINE].real_top1)} on real photos."
        )
    if WHITE_BOX in by_attack and BLACK_BOX in by_attack:
        difference = mean(_top1(by_attack[BLACK_BOX])) - mean(_top1(by_attack[WHITE_BOX]))
        lines.append(f"Black-box minus white-box: {100 * difference:+.1f} points.")
    lines.append("Intervals are Student's over identities; below five none is given. The paper's are other people.")
    lines += [f"The paper's {row.attack} row: {row.remark}." for row in TABLE_I if row.remark]
    return lines


def _title(record: Record) -> str:
    return (
        f"Table I on {record.protocol.name} v{record.protocol.version}, generator {record.generator}: "
        f"{record.identities} identities x {record.trials} trials, seed {record.seed}"
    )


def _interval(by_identity: Sequence[float]) -> str:
    found = few_interval(by_identity)
    return f"{100 * found[0]:.0f} - {100 * found[1]:.0f}" if found else "-"


def _top1(record: Record) -> list[float]:
    return [row.top1 for row in record.per_identity]
