"""What a run says of each defense: its worst case at each budget, and reasons to doubt it.

The attack is chosen on the development identities and reported on the held-out ones, so that choosing the best of many
does not itself raise the figure. A run without a suite has no development identities: the attack is chosen on all, by
what it is then said to show.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from ..plugin.access import Access
from ..records import flags
from ..records.figures import Flag, IdentityRow
from ..records.record import Record
from ..records.stats import mean_interval


@dataclass(frozen=True)
class Worst:
    """The worst case of one defense at one budget, over the black-box attacks."""

    budget: int
    """Queries per trial."""
    attack: str
    """The best on the development identities; among equals the one that needs fewer queries, then by name."""
    by_identity: dict[str, float]
    """R_eval top-1 of that attack by held-out identity, under ``FOLD/IDENTITY``."""
    upper: float
    """Mean over held-out identities of each one's maximum over attacks: what no choice of an attack can exceed."""

    @property
    def accuracy(self) -> float:
        """R_eval top-1 over the held-out identities."""
        return round(mean(self.by_identity.values()), 6)

    @property
    def ci95(self) -> tuple[float, float]:
        """95% interval of ``accuracy`` over identities."""
        return mean_interval(list(self.by_identity.values()))


@dataclass(frozen=True)
class Verdict:
    """One defense under all attacks of a run."""

    defense: str
    records: tuple[Record, ...]
    """One an attack, whatever their status."""
    worst: tuple[Worst, ...]
    """By budget, ascending; empty where no black-box attack ran."""
    flags: tuple[Flag, ...]
    """How it seems to protect: what hides may be mere masking, what refuses is none."""
    lacking: tuple[str, ...] = ()
    """The attacks that were made on others and failed here, or were left out, each in words. What failed protects
    nobody, so such a defense is not ranked. An attack that a defense leaves nothing to ask is not lacking.
    """

    @property
    def headline(self) -> Worst | None:
        """The worst case at the largest budget."""
        return self.worst[-1] if self.worst else None

    @property
    def suspected(self) -> bool:
        """Its protection may be mere masking."""
        return any(flag.kind == "hides" for flag in self.flags)

    @property
    def black_box(self) -> list[Record]:
        """The attacks that the worst case is over, the best on the development identities first."""
        return _ordered(self.records, _black_box)

    @property
    def white_box(self) -> list[Record]:
        """Those that hold the weights, likewise."""
        return _ordered(self.records, _white_box)


def verdicts(records: Sequence[Record]) -> list[Verdict]:
    """A verdict a defense, ``none`` first, from the records of one setting."""
    by_defense: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda record: record.defense != "none"):
        by_defense.setdefault(record.defense, []).append(record)
    undefended = by_defense.get("none", [])
    masked = {flag.name for flag in _together(undefended)}  # what shows without a defense is none of a defense's doing
    attacks = sorted({record.attack for record in records if record.status == "ok"})
    found = []
    for defense, own in by_defense.items():
        worst = _worst(own)
        together = [flag for flag in _together(own) if flag.name not in masked]
        if stuck := _no_gain(worst, _worst(undefended), own[0].budgets, _null(own)):
            together.append(stuck)
        flags = (*_alone(own), *together)
        found.append(Verdict(defense, tuple(own), worst, flags, tuple(_lacking(own, attacks))))
    return found


def worth_seeing(records: Sequence[Record]) -> list[Record]:
    """Of a suite's records the one that each defense's headline rests on, a page of faces rather than ten; without a
    suite all of them."""
    if not records or not records[0].suite:
        return list(records)
    return [verdict.black_box[0] for verdict in verdicts(records) if verdict.black_box]


def as_json(verdict: Verdict) -> dict[str, Any]:
    """For programs: fractions in 0..1."""
    return {
        "defense": verdict.defense,
        "worst_case": [
            {
                "budget": worst.budget,
                "attack": worst.attack,
                "top1": worst.accuracy,
                "ci95": worst.ci95,
                "upper": worst.upper,
                "by_identity": worst.by_identity,
            }
            for worst in verdict.worst
        ],
        "flags": [flag.model_dump() for flag in verdict.flags],
        "lacking": verdict.lacking,
        "skipped": {record.attack: record.reason for record in verdict.records if record.status == "skipped"},
        "cells": [record.cell_id for record in verdict.records],
    }


def _done(records: Iterable[Record], wanted: Callable[[Record], bool]) -> list[Record]:
    return [record for record in records if record.status == "ok" and wanted(record)]


def _black_box(record: Record) -> bool:
    return record.access is not Access.WHITE_BOX


def _white_box(record: Record) -> bool:
    return record.access is Access.WHITE_BOX


def chosen_on(record: Record) -> list[IdentityRow]:
    """The rows by which an attack is chosen: the development identities', or all where there are none."""
    return [row for row in record.per_identity if not row.held_out] or record.per_identity


def null_by_identity(records: Iterable[Record]) -> dict[str, float]:
    """R_eval's share by held-out identity where the target never saw the person; empty where it was not measured."""
    rows = next((record.per_identity for record in records if record.status == "ok"), [])
    return {row.name: row.null for row in rows if row.held_out and row.null is not None}


def _worst(records: Sequence[Record]) -> tuple[Worst, ...]:
    attacks = _done(records, _black_box)
    found = []
    for budget in attacks[0].budgets if attacks else ():
        chosen = _strongest(attacks, budget)[0]
        upper = [max(each) for each in zip(*(_held_out(record, budget).values() for record in attacks), strict=True)]
        found.append(Worst(budget, chosen.attack, _held_out(chosen, budget), round(mean(upper), 6)))
    return tuple(found)


def _strongest(attacks: Sequence[Record], budget: int) -> list[Record]:
    """The best first on the identities it is chosen on, at one budget; among equals the one that is better at smaller
    budgets, then the first by name."""

    def development(record: Record) -> tuple[float, float]:
        curves = [row.curve[: _place(record, budget) + 1] for row in chosen_on(record)]
        return mean(curve[-1] for curve in curves), mean(map(mean, curves))

    return sorted(sorted(attacks, key=lambda record: record.attack), key=development, reverse=True)


def _held_out(record: Record, budget: int) -> dict[str, float]:
    place = _place(record, budget)
    return {row.name: row.curve[place] for row in record.per_identity if row.held_out}


def _place(record: Record, budget: int) -> int:
    """Of a budget in the rows' curves."""
    assert record.results
    return record.results.budgets.index(budget)


def _lacking(records: Sequence[Record], attacks: Sequence[str]) -> list[str]:
    made = {record.attack: record for record in records}
    found = [f"{attack} was not run" for attack in attacks if attack not in made]
    failed = (r for r in made.values() if r.status == "error" and r.attack in attacks)
    return found + [f"{r.attack} failed ({r.reason})" for r in failed]


def _alone(records: Sequence[Record]) -> list[Flag]:
    """What single cells show; of several that show the same, the first attack by name speaks."""
    by_name = {flag.name: flag for r in sorted(records, key=lambda r: r.attack, reverse=True) for flag in r.flags}
    return [by_name[name] for name in sorted(by_name)]


def _together(records: Sequence[Record]) -> list[Flag]:
    """What several attacks show together."""
    pairs = (
        flags.stronger(
            flags.WHITE_BOX_WEAKER,
            "Black-box beats white-box",
            _best(records, _black_box),
            _best(records, _white_box),
        ),
        flags.stronger(
            flags.LABELS_STRONGER,
            "Labels alone serve better than scores",
            _best(records, lambda record: record.access is Access.LABEL_ONLY),
            _best(records, lambda record: record.access is Access.SCORES),
        ),
        flags.stronger(
            flags.TRANSFER_STRONGER,
            "Attacking a copy serves better than attacking the target",
            _best(records, lambda record: _black_box(record) and record.transfer),
            _best(records, lambda record: _black_box(record) and not record.transfer),
        ),
    )
    return [flag for flag in pairs if flag]


def _no_gain(
    worst: tuple[Worst, ...], undefended: tuple[Worst, ...], budgets: Sequence[int], null: float | None
) -> Flag | None:
    if not worst or not undefended:
        return None
    return flags.no_gain([w.accuracy for w in worst], [w.accuracy for w in undefended], budgets, null)


def _null(records: Sequence[Record]) -> float | None:
    found = null_by_identity(records).values()
    return mean(found) if found else None


def _best(records: Sequence[Record], wanted: Callable[[Record], bool]) -> Record | None:
    """The best of some attacks on the development identities at the full budget."""
    return next(iter(_ordered(records, wanted)), None)


def _ordered(records: Sequence[Record], wanted: Callable[[Record], bool]) -> list[Record]:
    attacks = _done(records, wanted)
    return _strongest(attacks, attacks[0].budget) if attacks else []
