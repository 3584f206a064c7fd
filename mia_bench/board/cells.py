"""The sections about single attacks: every attack against every defense."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..plugin.access import Access
from ..records.record import Record
from .columns import Column, Section, fields, figure, naming
from .comparison import interval, percent, points, signs
from .standings import Standings

WEAKEST_FIRST = list(Access)[::-1]


@dataclass(frozen=True)
class Cell:
    """One record, beside that of the same attack on none."""

    record: Record
    difference: tuple[float, float, float] | None
    """In R_eval top-1: mean, low, high."""


def sections(s: Standings) -> tuple[Section[Mapping[str, Record]], Section[Cell]]:
    """A row an attack and a column a defense, for a suite, which has many; else a row a cell. In the CSV the latter."""
    by_attack: dict[tuple[int, str], dict[str, Record]] = {}
    for record in (record for row in s.rows for record in row.verdict.records):
        by_attack.setdefault(_attack(record), {})[record.defense] = record
    cells = [Cell(r, s.group.difference(r)) for row in s.rows for r in sorted(row.verdict.records, key=_attack)]
    suite = bool(s.group.suite)
    return _attacks(s, [by_attack[key] for key in sorted(by_attack)] * suite), _cells(cells * (not suite), cells)


def _attacks(s: Standings, rows: list[dict[str, Record]]) -> Section[Mapping[str, Record]]:
    def against(defense: str) -> Column[Mapping[str, Record]]:
        return Column(defense, lambda row: _outcome(row.get(defense)))

    note = "Attack by defense: R_eval's top-1 over all identities, and the median queries a trial."
    columns = [
        naming("attack, top-1 (median queries)", lambda row: next(iter(row.values())).attack, note=note),
        naming("access", lambda row: next(iter(row.values())).access.value),
        *(against(row.defense) for row in s.rows),
    ]
    return Section("attacks", "Every attack against every defense", columns, rows)


def _cells(shown: list[Cell], data: list[Cell]) -> Section[Cell]:
    def accuracy(cell: Cell) -> str:
        found = cell.record.attack_accuracy
        return f"{percent(found.top1)} {interval(*found.ci95)}" if found else cell.record.status

    def accuracy_csv(cell: Cell) -> dict[str, object]:
        r, found = cell.record, cell.record.attack_accuracy
        values = (found.top1, *found.ci95, found.top5) if found else None
        own = fields("access status reason seed cell_id", (r.access.value, r.status, r.reason, r.seed, r.cell_id))
        return (
            own
            | fields("top1 ci95_low ci95_high top5", values)
            | {n: getattr(r, n) for n in ("floor", "null", "ceiling")}
        )

    def total(cell: Cell) -> dict[str, object]:
        q = cell.record.queries
        return fields("median_queries total_queries refused_queries", (q.median, q.total, q.refused) if q else None)

    columns = [
        naming("defense", lambda cell: cell.record.defense, "defense"),
        naming("attack", lambda cell: cell.record.attack, "attack"),
        Column(
            "R_eval top-1 [95% CI]",
            accuracy,
            accuracy_csv,
            "Every attack: over all identities. Majority: what more than half of the evaluators say. R_tar fooled: the "
            "share of reconstructions that the undefended target takes for the person. Queries: the median a trial.",
        ),
        figure("majority", lambda cell: cell.record.majority and cell.record.majority.top1, "%", "majority"),
        Column(
            "vs none",
            lambda cell: points(cell.difference) if cell.difference else "-",
            lambda cell: fields("difference difference_low difference_high", cell.difference),
            "vs none by attack: points, paired by identity, each interval at 95% by itself.",
            signs,
        ),
        figure("R_tar fooled", lambda cell: cell.record.target_success, "%", "target_success"),
        Column("queries", lambda cell: f"{cell.record.queries.median:,.0f}" if cell.record.queries else "-", total),
    ]
    return Section("cells", "Every attack", columns, shown, 2, "cells", data)


def _attack(record: Record) -> tuple[int, str]:
    return WEAKEST_FIRST.index(record.access), record.attack


def _outcome(record: Record | None) -> str:
    if record is None:
        return "-"
    accuracy, queries = record.attack_accuracy, record.queries
    return f"{100 * accuracy.top1:.0f}% ({queries.median:,.0f})" if accuracy and queries else record.status
