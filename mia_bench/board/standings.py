"""A run's verdicts side by side: the leak above the null, ranks, and what each defense bought against none."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from math import ceil, log2
from statistics import mean, median
from typing import NamedTuple

from ..records.figures import Cost, Utility
from ..records.record import Record
from ..records.stats import ALPHA, Comparison, compare, excess, mean_interval, rank_intervals
from .comparison import FEWEST, Group
from .verdict import Verdict, chosen_on, null_by_identity, verdicts

Estimate = tuple[float, float, float]
"""Mean, and its 95% interval."""
FAR = 0.1
"""A choice of an attack that is so much below the best is told."""


@dataclass(frozen=True)
class Standing:
    """One defense. All figures are over held-out identities."""

    verdict: Verdict
    leak: tuple[Estimate, ...]
    """Worst-case accuracy minus null at each budget; the last is the headline."""
    rank: int | None
    """1 for the least leak; None where no black-box attack ran, or one that others met is lacking."""
    ranks: tuple[int, int] | None
    """95% interval of ``rank``; None where that or the identities are too few."""
    comparison: Comparison | None
    """The headline against that of ``none``; None for ``none``."""

    @property
    def defense(self) -> str:
        """Its spec."""
        return self.verdict.defense

    @property
    def utility(self) -> Utility | None:
        """What honest users still get."""
        return next((record.utility for record in self.verdict.records if record.utility), None)

    @property
    def latency_ratio(self) -> float | None:
        """Time an answer takes, over that without the defense: median of the records' timings."""
        return _median(cost.latency_ratio for cost in self._costs)

    @property
    def memory_ratio(self) -> float | None:
        """Memory an answer takes, over that without the defense."""
        return _median(cost.memory_ratio for cost in self._costs if cost.memory_ratio is not None)

    @property
    def _costs(self) -> list[Cost]:
        return [r.utility.cost for r in self.verdict.records if r.utility and r.utility.cost]

    @property
    def white_box(self) -> tuple[str, float] | None:
        """The best attack that holds the weights, and its accuracy: a reference, which ranks nothing."""
        for best in self.verdict.white_box[:1]:
            return best.attack, mean(row.top1 for row in best.per_identity if row.held_out)
        return None

    @cached_property
    def by_evaluator(self) -> dict[str, tuple[str, float]]:
        """Each evaluator's and the majority's own worst case: the black-box attack that does best by it on development
        identities (among equals the better by R_eval), and the share of the held-out identities' reconstructions that
        it takes for them."""
        chosen = {name: max(views, key=lambda view: view.development) for name, views in self._views.items()}
        return {name: (view.attack, view.held_out) for name, view in chosen.items()}

    @property
    def missed(self) -> dict[str, tuple[str, float]]:
        """For evaluators whose choice is ``FAR`` below it: the attack that does best on the held-out identities
        themselves, and its share. Chosen by what it is said to show, it is an upper bound."""
        best = {name: max(views, key=lambda view: view.held_out) for name, views in self._views.items()}
        far = {name: view for name, view in best.items() if view.held_out - self.by_evaluator[name][1] >= FAR - 1e-6}
        return {name: (view.attack, view.held_out) for name, view in far.items()}

    @property
    def _views(self) -> dict[str, list["_View"]]:
        attacks = self.verdict.black_box
        rows = [row.seen_by for attack in attacks for row in attack.per_identity]
        names = [name for name in rows[0] if all(name in row for row in rows)] if rows else []
        return {name: [_view(attack, name) for attack in attacks] for name in names}


class _View(NamedTuple):
    """What an evaluator says of an attack: shares of reconstructions."""

    attack: str
    development: float
    held_out: float


def _view(record: Record, evaluator: str) -> _View:
    held_out = [row.seen_by[evaluator] for row in record.per_identity if row.held_out]
    return _View(record.attack, mean(row.seen_by[evaluator] for row in chosen_on(record)), mean(held_out))


@dataclass(frozen=True)
class Standings:
    """The defenses of one run, the best protection first, those without a headline last."""

    group: Group
    rows: tuple[Standing, ...]
    null: dict[str, float]
    """R_eval's share by held-out identity where the target never saw the person; empty where it was not measured."""

    @property
    def done(self) -> tuple[Record, ...]:
        """What was carried out."""
        return tuple(record for record in self.group.records if record.status == "ok")

    @property
    def chosen_apart(self) -> bool:
        """Attacks are chosen on other identities than they are reported on."""
        return any(not row.held_out for record in self.done for row in record.per_identity)

    @property
    def ranked_by(self) -> dict[str, float]:
        """The worst case of each ranked defense."""
        return {row.defense: row.verdict.worst[-1].accuracy for row in self.rows if row.rank}

    @property
    def held_out(self) -> int:
        """Identities that the figures are over."""
        return next((len(row.verdict.headline.by_identity) for row in self.rows if row.verdict.headline), 0)

    @property
    def many(self) -> bool:
        """Enough identities for intervals."""
        return self.held_out >= FEWEST

    @property
    def conclusive(self) -> bool:
        """Enough identities and trials for a verdict."""
        return self.many and self.group.records[0].trials > 1

    @property
    def needed(self) -> int:
        """Identities without which Holm's procedure tells no defense from ``none``, however large its effect."""
        defenses = sum(row.comparison is not None for row in self.rows)
        return ceil(log2(2 * max(1, defenses) / ALPHA))


def standings(group: Group) -> Standings:
    """The records of one setting, ranked."""
    found = verdicts(group.records)
    values = {v.defense: v.headline.by_identity for v in found if v.headline and not v.lacking}
    many = bool(values) and min(map(len, values.values())) >= FEWEST
    ranks = rank_intervals(values) if many else {}
    others = {defense: of for defense, of in values.items() if defense != "none"}
    compared = compare(others, values["none"]) if "none" in values else {}
    null = null_by_identity(group.records)
    rows = [
        Standing(
            verdict,
            leak=tuple(_leak(worst.by_identity, null) for worst in verdict.worst),
            rank=place if verdict.headline and not verdict.lacking else None,
            ranks=ranks.get(verdict.defense),
            comparison=compared.get(verdict.defense),
        )
        for place, verdict in enumerate(sorted(found, key=_place), start=1)
    ]
    return Standings(group, tuple(rows), null)


def _place(verdict: Verdict) -> tuple[bool, float, float, str]:
    """Ranked ones first; then the lowest worst case, the highest utility, the name."""
    utility = next((record.utility.top1 for record in verdict.records if record.utility), 0.0)
    headline = verdict.headline
    unranked = headline is None or bool(verdict.lacking)
    return (unranked, headline.accuracy if headline else 0.0, -utility, verdict.defense)


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(median(found), 6) if found else None


def _leak(by_identity: dict[str, float], null: dict[str, float]) -> Estimate:
    if null:
        return excess(by_identity, null)
    return (round(mean(by_identity.values()), 6), *mean_interval(list(by_identity.values())))
