"""What a defense is: anything that changes what a target reveals."""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from .access import Access
from .component import Component
from .errors import ComponentError
from .scores import refused


class Defense(Component):
    """One change to the scores a target releases; subclasses give ``release``."""

    access: ClassVar[Access] = Access.SCORES
    """What it leaves a black-box caller: ``LABEL_ONLY`` where only the top label goes out."""
    withholds: ClassVar[bool] = False
    """True if it may turn scores into NaN (withheld); where it does not say so, a NaN is a defect."""
    refuses: ClassVar[bool] = False
    """True if it may refuse an image, which is to withhold all of its scores; later stages do not see it."""

    def check(self, classes: int) -> None:
        """Raise ValueError, with the mend, if its parameters make no sense for this many classes."""

    @abstractmethod
    def release(self, scores: Tensor, rng: torch.Generator) -> Tensor:
        """What the service answers: scores (batch, classes) float32 in [0, 1] -> the same shape, NaN where withheld.

        ``scores`` may hold NaN where a defense before this one withheld them. ``rng`` is a CPU generator.
        """


class Pipeline:
    """Defenses one after another, left to right: in ``topk5+round2`` the five highest scores are rounded."""

    def __init__(self, stages: tuple[Defense, ...]) -> None:
        self.stages = stages

    @property
    def spec(self) -> str:
        """Canonical spec, e.g. ``topk:k=5+round:digits=2``."""
        return "+".join(stage.spec for stage in self.stages)

    @property
    def access(self) -> Access:
        """What is left to a black-box caller after all stages."""
        return max((stage.access for stage in self.stages), key=list(Access).index, default=Access.SCORES)

    def check(self, classes: int) -> None:
        """Raise ValueError if any stage's parameters make no sense for this many classes."""
        for stage in self.stages:
            stage.check(classes)

    def release(self, scores: Tensor, rng: torch.Generator) -> Tensor:
        """All stages in order; each answer is checked at the door.

        Raises ComponentError naming the stage whose answer has the wrong shape, dtype or values.
        """
        for stage in self.stages:
            answered = ~refused(scores)
            if not bool(answered.any()):
                break
            given = scores[answered]
            try:
                released = stage.release(given.clone(), rng)
            except Exception as error:
                raise ComponentError(f"defense {stage.spec} raised {type(error).__name__}: {error}") from error
            problem = _problem(given, released, stage)
            if problem:
                raise ComponentError(f"defense {stage.spec} {problem}")
            scores = scores.index_put((answered,), released)
        return scores


def _problem(given: Tensor, released: object, stage: Defense) -> str | None:
    """What is wrong with a stage's answer, or None."""
    if not isinstance(released, Tensor) or not released.is_floating_point():
        return f"returned {type(released).__name__}, not a float tensor of scores"
    if released.dtype != given.dtype or released.device != given.device:
        return f"returned {released.dtype} on {released.device} for {given.dtype} on {given.device}"
    if released.shape != given.shape:
        return f"returned shape {tuple(released.shape)} for scores of shape {tuple(given.shape)}"
    nan = released.isnan()
    if nan.any():
        kept = ~refused(released) if stage.refuses else slice(None)
        if not stage.withholds and bool((nan & ~given.isnan())[kept].any()):
            return "returned NaN; a defense that withholds scores declares withholds = True"
        if not stage.refuses and bool(refused(released).any()):
            return "withheld every score of an image; a defense that refuses images declares refuses = True"
    values = released[~nan]
    if bool(values.isinf().any()):
        return "returned infinite scores"
    if bool((values < 0).any()):
        return f"returned negative scores (lowest {float(values.min()):.3g})"
    if bool((values > 1 + 1e-4).any()):
        return f"returned scores above 1 (highest {float(values.max()):.3g})"
    return None
