"""Records put side by side: which were made alike, and what each defense bought against none."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..records.record import Record
from ..records.stats import paired_difference

FEWEST = 5
"""Identities below which intervals mean nothing."""


@dataclass(frozen=True)
class Group:
    """Records whose figures may be compared: alike in protocol, folds, target, generator, seed, trials, identities,
    budget."""

    records: tuple[Record, ...]

    @property
    def title(self) -> str:
        """What was run, in one line."""
        first = self.records[0]
        people = first.identities * len(first.folds)
        return (
            f"{first.protocol.name} v{first.protocol.version}, target {first.target}, generator {first.generator}: "
            f"{people} identities x {first.trials} trials, at most {first.budget:,} queries each, seed {first.seed}"
            + (f", suite {first.suite}" if first.suite else "")
        )

    @property
    def suite(self) -> str:
        """The suite whose terms these are; '' for none."""
        return self.records[0].suite

    def difference(self, record: Record) -> tuple[float, float, float] | None:
        """R_eval top-1 minus that without defense, paired by identity: (mean, low, high); None where there is none."""
        alike = (other for other in self.records if other.defense == "none" and other.attack == record.attack)
        reference = next((other for other in alike if other.status == "ok"), None)
        if reference is None or record.defense == "none" or record.status != "ok":
            return None
        return paired_difference(record.top1_by_identity, reference.top1_by_identity)


def groups(records: Sequence[Record]) -> list[Group]:
    """The records by what they share, ``none`` first in each group.

    They also share whom they hold out. A record without rows holds nobody out: it goes with the first others.
    """
    found: dict[tuple[object, ...], dict[frozenset[str], list[Record]]] = {}
    for record in sorted(records, key=lambda record: record.status != "ok"):
        alike = found.setdefault(record.settings, {})
        held_out = frozenset(record.top1_held_out) or next(iter(alike), frozenset())
        alike.setdefault(held_out, []).append(record)
    return [
        Group(tuple(sorted(group, key=lambda record: record.defense != "none")))
        for alike in found.values()
        for group in alike.values()
    ]


def percent(value: float) -> str:
    """0.815 -> 81.5%."""
    return f"{100 * value:.1f}%"


def interval(low: float, high: float, sign: str = "") -> str:
    """[70.1, 90.2], in percent or points."""
    return f"[{100 * low:{sign}.1f}, {100 * high:{sign}.1f}]"


def short(budget: int) -> str:
    """5000 -> 5k."""
    return f"{budget / 1000:g}k" if budget >= 1000 else str(budget)


def points(difference: tuple[float, float, float]) -> str:
    """-3.5 [-8.0, +1.0], in percentage points."""
    mean, low, high = difference
    return f"{100 * mean:+.1f} {interval(low, high, '+')}"


def signs(escaped: str) -> str:
    """``points`` in LaTeX, where a - is a hyphen."""
    return re.sub(r"[+-][\d.]+", r"$\g<0>$", escaped)
