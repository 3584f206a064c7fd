"""The figures that records hold."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAJORITY = "majority"
"""More than half of the evaluators: stands beside them as if it were one."""


class Part(BaseModel):
    """A part of a record: frozen, finite, without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Share = Annotated[float, Field(ge=0, le=1)]


class AttackAccuracy(Part):
    """R_eval on the reconstructions: trials averaged within an identity, then over identities."""

    top1: Share
    top5: Share
    ci95: tuple[Share, Share]
    """Of top1, over identities (``stats.mean_interval``)."""


class MajorityAccuracy(Part):
    """Shares of images whose person is put first: of the reconstructions, of real photos that the evaluators have not
    seen, and of the controls' images (``bench/controls.py``)."""

    top1: Share
    real_top1: Share
    floor: Share | None = None
    null: Share | None = None
    ceiling: Share | None = None


class EvaluatorAccuracy(MajorityAccuracy):
    """One evaluator's view."""

    top5: Share
    auc: Share | None = None
    """How often it finds the reconstruction nearer to the person than to another one it knows: 0.5 is chance. None in
    records of before it was kept."""


class Cost(Part):
    """Answering with the defense, over answering without it, on the same images in one run. Timings differ from run to
    run."""

    latency_ratio: float
    added_latency_s: float
    """Per image."""
    memory_ratio: float | None
    """Of the bytes of tensors made while answering; None where the target makes none of its own here."""


class Utility(Part):
    """What honest users still get (``utility.py``): the share of held-out photos whose person the *released* scores put
    first or among the first five (a withheld score puts nobody anywhere), and how far those scores can be trusted."""

    top1: Share
    top5: Share
    log_loss: float | None = None
    """Natural logarithm; a withheld score counts as its share of what the released ones leave of 1."""
    ece: Share | None = None
    """Expected calibration error of the top score."""
    auc: Share | None = None
    """Verification: the released score for the claimed person, genuine claims against all false ones."""
    refused: Share = 0.0
    """Share of these photos that got no answer: misses for top1 and top5, left out of the other figures."""
    cost: Cost | None = None


class Queries(Part):
    """Images sent to the target, from the oracle's ledger."""

    mean: float
    median: float
    total: int
    budget: int
    """Per trial."""
    by_phase: dict[str, int]
    refused: int = 0
    """Of the total, images that the service would not answer."""
    accounts: int | None = None
    """From which they were sent, over all trials: one each, and those that the attack opened; None: not counted."""


class Point(Part):
    """Success against budget: what the attack would have reached with fewer queries."""

    budget: int
    """Images per trial."""
    top1: Share
    ci95: tuple[Share, Share]


class Flag(Part):
    """What a cell, or several, show of how a defense protects."""

    name: str
    says: str
    """A sentence, with the figures it rests on."""
    kind: Literal["hides", "refuses"] = "hides"
    """``hides``: what it still answers may mislead a search rather than tell it nothing. ``refuses``: it does not
    answer, which is no trick, and is counted."""


class Probes(Part):
    """What the defended service's answers give away (``bench/probes.py``): shares of the images it was asked about."""

    unrepeatable: Share
    """Asked again, in another order, or about an image that differs invisibly, it answers otherwise."""
    flat: Share
    """A small step changes nothing that it releases, though it releases other scores for other images."""
    agreement: Share | None = None
    """Of the small steps that move the released margin, how many move it as the target's own; None: not probed, for
    too few do, or what is released has no margin."""
    refused: Share = 0.0
    """It would not answer."""


class IdentityRow(Part):
    """All trials of one identity."""

    identity: str
    fold: str
    trials: int
    top1: Share
    top5: Share
    auc: Share | None = None
    """R_eval's (``EvaluatorAccuracy.auc``)."""
    target_score: Share
    """The undefended target's score for the identity on the reconstructions, mean."""
    target_top1: Share
    """Share of reconstructions that the undefended target takes for the identity."""
    floor: Share
    """R_eval top-1 on the trials' seeds D(z0), before any attack."""
    ceiling: Share
    """R_eval top-1 on D(E(photo)) of the identity's real photos."""
    null: Share | None = None
    """R_eval top-1 where the target was trained with another person's photos in the identity's place."""
    evaluators: dict[str, Share] = {}
    """top1 by each evaluator."""
    majority: Share | None = None
    """Share of reconstructions that more than half of the evaluators take for the identity."""
    converged: Share
    queries: float
    """Mean per trial."""
    held_out: bool = True
    """False for those on which a suite's best attack is chosen."""
    curve: list[Share] = []
    """top1 at each budget of the record's ``curve``."""

    @property
    def seen_by(self) -> dict[str, float]:
        """top1 by each evaluator, and by their ``majority``."""
        return self.evaluators | ({MAJORITY: self.majority} if self.majority is not None else {})

    @property
    def name(self) -> str:
        """``FOLD/IDENTITY``: how an identity is called across folds."""
        return f"{self.fold}/{self.identity}"
