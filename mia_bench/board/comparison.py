"""Records put side by side: which were made alike, and what each defense bought against none."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..records.record import Record
from ..records.stats import paired_difference

FEWEST = 5
"""Identities below which intervals mean nothing."""

Table = tuple[list[str], list[list[str]]]
"""Header and rows, as text."""


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
        )

    @property
    def suite(self) -> str:
        """The suite whose terms these are; '' for none."""
        return self.records[0].suite

    @property
    def conclusive(self) -> bool:
        """Enough identities and trials for an interval to mean something."""
        first = self.records[0]
        return first.identities * len(first.folds) >= FEWEST and first.trials >= 2

    def reference(self, record: Record) -> Record | None:
        """The undefended record of the same attack."""
        for other in self.records:
            if other.defense == "none" and other.attack == record.attack and other.status == "ok":
                return other
        return None

    def difference(self, record: Record) -> tuple[float, float, float] | None:
        """R_eval top-1 minus that without defense, paired by identity: (mean, low, high); None where there is none."""
        reference = self.reference(record)
        if reference is None or record.defense == "none" or record.status != "ok":
            return None
        return paired_difference(record.top1_by_identity, reference.top1_by_identity)


def groups(records: Sequence[Record]) -> list[Group]:
    """The records by what they share, each group in order of first appearance, ``none`` first within it."""
    by_settings: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        by_settings.setdefault(record.settings, []).append(record)
    return [Group(tuple(sorted(group, key=lambda r: r.defense != "none"))) for group in by_settings.values()]


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
