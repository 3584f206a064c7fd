"""What independent recognisers say of an attempt: facts, checked against one another when read."""

from statistics import mean
from typing import Annotated, Self

from pydantic import Field, model_validator

from ..plugin.headline import HEADLINE
from .figures import EvaluatorAccuracy, IdentityRow, MajorityAccuracy, Part, Probes, Queries, Share, Utility

CLOSE = 2e-5
"""Figures are kept to six places: two that should be the same differ by less."""


class Judgement(Part):
    """What came of a cell, from its attempt alone: facts. What follows from them is computed (``Record``)."""

    judgement: str = ""
    """Hash of who judged, and against what (``bench.judging``); '' in records of before it was kept."""
    evaluators: dict[str, EvaluatorAccuracy]
    """By name; ``top1`` is the mean of the rows'."""
    left_out: dict[str, str] = {}
    """Evaluators that could not judge here, and why."""
    battery: dict[str, dict[str, Share]] = {}
    """By evaluator and test (``bench/battery.py``): the share of changed photos whose person it puts first."""
    unfit: dict[str, str] = {}
    """Evaluators that fail the battery, and where: what they say of a reconstruction is no sign of a face."""
    majority: MajorityAccuracy | None = None
    """Over the evaluators that are fit; over all of them where none is."""
    metrics: dict[str, float] = {}
    """The field's other measures (``bench.metrics``)."""
    utility: Utility
    queries: Queries
    budgets: tuple[int, ...]
    """Images per trial at which success was measured, ascending: what the rows' curves are over."""
    rows: Annotated[list[IdentityRow], Field(min_length=1)]
    probes: Probes | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if problem := self._contradiction():
            raise ValueError(problem)
        return self

    def _contradiction(self) -> str:
        if HEADLINE not in self.evaluators:
            return f"evaluators lacks {HEADLINE}, the headline's"
        if list(self.budgets) != sorted(set(self.budgets)) or not all(budget > 0 for budget in self.budgets):
            return f"the curve's budgets {self.budgets} do not ascend from 1"
        names = [row.name for row in self.rows]
        if len(set(names)) < len(names):
            return "an identity stands in two rows"
        for row in self.rows:
            if len(row.curve) != len(self.budgets):
                return f"{row.name} has a curve of {len(row.curve)} points over {len(self.budgets)} budgets"
            if row.evaluators and (row.evaluators.keys() != self.evaluators.keys()):
                return f"{row.name} was judged by others than {', '.join(self.evaluators)}"
            if row.evaluators and abs(row.evaluators[HEADLINE] - row.top1) > CLOSE:
                return f"{row.name} has top1 {row.top1}, by {HEADLINE} {row.evaluators[HEADLINE]}"
            if row.curve and abs(row.curve[-1] - row.top1) > CLOSE:
                return f"{row.name} has top1 {row.top1}, its curve ends at {row.curve[-1]}"
            if row.top5 < row.top1 - CLOSE:
                return f"{row.name} has top5 {row.top5} below top1 {row.top1}"
            if not 0 <= row.queries <= self.queries.budget or row.trials < 1:
                return f"{row.name} has {row.queries} queries in {row.trials} trials of at most {self.queries.budget}"
        for name, found in self.evaluators.items():
            told = mean(row.evaluators.get(name, row.top1 if name == HEADLINE else found.top1) for row in self.rows)
            if abs(told - found.top1) > CLOSE:
                return f"evaluators.{name}.top1 is {found.top1}, its rows give {told:.6f}"
            if found.top5 < found.top1 - CLOSE:
                return f"evaluators.{name}.top5 {found.top5} is below its top1 {found.top1}"
        headline = self.evaluators[HEADLINE]
        for kind in ("floor", "null", "ceiling", "auc"):
            stated, rows = getattr(headline, kind), [getattr(row, kind) for row in self.rows]
            if stated is not None and None not in rows and abs(mean(rows) - stated) > CLOSE:
                return f"evaluators.{HEADLINE}.{kind} is {stated}, its rows give {mean(rows):.6f}"
        if stranger := set(self.unfit) - set(self.battery):
            return f"unfit names {sorted(stranger)[0]}, which no battery examined"
        majority = [row.majority for row in self.rows if row.majority is not None]
        if self.majority and majority and abs(mean(majority) - self.majority.top1) > CLOSE:
            return f"majority.top1 is {self.majority.top1}, its rows give {mean(majority):.6f}"
        spent, trials = self.queries, sum(row.trials for row in self.rows)
        if spent.total != sum(spent.by_phase.values()) or not 0 <= spent.refused <= spent.total:
            return f"queries.total is {spent.total}, its phases give {sum(spent.by_phase.values())}"
        if abs(spent.mean - spent.total / trials) > 1e-2 or spent.median > spent.budget:
            return f"queries.mean {spent.mean} or median {spent.median} is not of {spent.total} over {trials} trials"
        if min(spent.by_phase.values(), default=0) < 0 or (spent.accounts is not None and spent.accounts < 0):
            return "a count of queries is below 0"
        return ""
