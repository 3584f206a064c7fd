"""What a defense is: anything that changes how a target is trained, what it sees or reveals, or whom it answers."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from .access import Access
from .component import Component
from .errors import ComponentError, told
from .fitting import Enrolment, Fitting, Trainable
from .scores import refused
from .service import Query, Service

T = TypeVar("T")


class Defense(Component):
    """One layer around a service. The short form is ``release``; who needs more gives ``wrap``, and ``prepare`` before.

    One that trains the target's network is a ``TrainedDefense``, and may do the rest besides.
    """

    access: ClassVar[Access] = Access.SCORES
    """What it leaves a black-box caller: ``LABEL_ONLY`` where only the top label goes out."""
    withholds: ClassVar[bool] = False
    """True if it may turn scores into NaN (withheld); where it does not say so, a NaN is a defect."""
    refuses: ClassVar[bool] = False
    """True if it may refuse an image, which is to withhold all of its scores; later stages do not see it."""

    def check(self, classes: int) -> None:
        """Raise ValueError, with the mend, if its parameters make no sense for this many classes."""

    def release(self, scores: Tensor, rng: torch.Generator) -> Tensor:
        """What the service answers: scores (batch, classes) float32 in [0, 1] -> the same shape, NaN where withheld.

        ``scores`` may hold NaN where a defense before this one withheld them. ``rng`` is a CPU generator.
        """
        return scores

    def prepare(self, enrolment: Enrolment) -> Any:
        """What it learns from the enrolment, once per fold of a cell; handed to ``wrap``, which another instance of the
        class may give. Nothing in it may change afterwards."""
        return None

    def wrap(self, service: Service, prepared: Any, rng: torch.Generator) -> Service:
        """The service around ``service``. What it remembers of callers lives in what is returned: a service is made
        anew for each repetition of a cell and ends with it."""

        def answer(query: Query) -> Tensor:
            scores = service(query)
            answered = ~refused(scores)
            if not bool(answered.any()):
                return scores
            given = scores[answered]
            released = self.release(given.clone(), rng)
            withheld = torch.ones_like(given, dtype=torch.bool) if self.withholds else given.isnan()
            door(self, released, given, withheld, self.refuses)
            return scores.index_put((answered,), released.detach())

        return answer

    @property
    def remembers(self) -> bool:
        """True if its answers may depend on what was asked before: it gives ``wrap``, or keeps private attributes."""
        return type(self).wrap is not Defense.wrap or bool(type(self).__private_attributes__)


class TrainedDefense(Defense, Trainable):
    """A defense that trains the target's network in place of the protocol's recipe; subclasses give ``train``."""

    def network(self, fitting: Fitting) -> nn.Module:
        """The protocol's R_tar, unless another is wanted."""
        return fitting.network()


class Pipeline:
    """Defenses one around another, left to right: in ``topk5+round2`` the five highest scores are rounded."""

    def __init__(self, stages: Sequence[Defense]) -> None:
        self.stages = tuple(stages)

    @property
    def spec(self) -> str:
        """Canonical spec, e.g. ``topk:k=5+round:digits=2``."""
        return "+".join(stage.spec for stage in self.stages)

    @property
    def access(self) -> Access:
        """What is left to a black-box caller after all stages."""
        return max((stage.access for stage in self.stages), key=list(Access).index, default=Access.SCORES)

    @property
    def training(self) -> TrainedDefense | None:
        """The stage that trains the target's network, if one does."""
        return next((stage for stage in self.stages if isinstance(stage, TrainedDefense)), None)

    @property
    def remembers(self) -> bool:
        """True if an answer may depend on what was asked before."""
        return any(stage.remembers for stage in self.stages)

    def check(self, classes: int) -> None:
        """Raise ValueError if any stage's parameters make no sense for this many classes, or two stages train."""
        trained = [stage.spec for stage in self.stages if isinstance(stage, TrainedDefense)]
        if len(trained) > 1:
            raise ValueError(f"{' and '.join(trained)} both train the target's network; keep one of them")
        for stage in self.stages:
            stage.check(classes)

    def prepare(self, enrolment: Enrolment) -> tuple[Any, ...]:
        """What each stage learns from the enrolment; ComponentError naming the stage that raises."""
        return tuple(_named(stage, partial(stage.prepare, enrolment)) for stage in self.stages)

    def wrap(
        self, service: Service, prepared: Sequence[Any], rng: torch.Generator, classes: int | None = None
    ) -> Service:
        """The service behind all stages, with nothing remembered yet; each answer is checked at the door.

        Raises ComponentError naming the stage that raises, or whose answer has the wrong shape, dtype or values.
        """
        withholds = refuses = False
        for stage, learnt in zip(self.stages, prepared, strict=True):
            fresh = stage.renewed()
            withholds, refuses = withholds or stage.withholds or stage.refuses, refuses or stage.refuses
            around = _named(stage, partial(fresh.wrap, service, learnt, rng))
            service = _guarded(stage, around, withholds, refuses, classes)
        return service


def _guarded(stage: Defense, around: Service, withholds: bool, refuses: bool, classes: int | None) -> Service:
    def answer(query: Query) -> Tensor:
        released = _named(stage, lambda: around(query))
        like = torch.empty(len(query), classes or _classes(released), device=query.images.device)
        door(stage, released, like, torch.full(like.shape, withholds, device=like.device), refuses)
        return released.detach()

    return answer


def _classes(released: object) -> int:
    return released.shape[-1] if isinstance(released, Tensor) and released.ndim else 0


def _named(stage: Defense, call: Callable[[], T]) -> T:
    """The call's answer; whatever it raises names the stage."""
    try:
        return call()
    except ComponentError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # somebody else's code may fail, or try to end things, in any way
        raise ComponentError(f"defense {stage.spec} raised {told(error)}") from error


def door(stage: Defense, released: object, like: Tensor, withheld: Tensor, refuses: bool) -> None:
    """ComponentError naming the stage if its answer is not scores shaped like ``like``; NaN only where ``withheld``."""
    problem = _problem(released, like, withheld, refuses)
    if problem:
        raise ComponentError(f"defense {stage.spec} {problem}")


def _problem(released: object, like: Tensor, withheld: Tensor, refuses: bool) -> str | None:
    """What is wrong with a stage's answer, or None."""
    if not isinstance(released, Tensor) or not released.is_floating_point():
        return f"returned {type(released).__name__}, not a float tensor of scores"
    if released.dtype != like.dtype or released.device != like.device:
        return f"returned {released.dtype} on {released.device} for {like.dtype} on {like.device}"
    if released.shape != like.shape:
        return f"returned shape {tuple(released.shape)} for scores of shape {tuple(like.shape)}"
    nan = released.isnan()
    if bool(nan.any()):
        none = refused(released)
        if bool((nan & ~withheld)[~none if refuses else slice(None)].any()):
            return "returned NaN; a defense that withholds scores declares withholds = True"
        if not refuses and bool(none.any()):
            return "withheld every score of an image; a defense that refuses images declares refuses = True"
    values = released[~nan]
    if bool(values.isinf().any()):
        return "returned infinite scores"
    if bool((values < 0).any()):
        return f"returned negative scores (lowest {float(values.min()):.3g})"
    if bool((values > 1 + 1e-4).any()):
        return f"returned scores above 1 (highest {float(values.max()):.3g})"
    return None
