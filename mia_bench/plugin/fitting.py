"""How whatever learns comes by photos and networks: one way for targets, evaluators and defenses."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from .component import Component
from .engine import Engine
from .photos import Photos

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""

Loss = Callable[[Tensor, Tensor], Tensor]
"""Of images (B, 1, H, W) and labels (B,) int64: one number to descend."""


def _silent(step: int, steps: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Fitting:
    """What a component gets for one fold, and all that it may learn from.

    An evaluator gets Q3, and nothing that R_tar or the attacker has seen but Q1; a target and its defenses get Q2.
    """

    fold: str
    photos: Photos
    """Q2 or Q3; ``photos.people`` is the order of the classes."""
    public: Photos
    """Q1: photos of people who are not enrolled."""
    engine: Engine
    seed: int
    """Of whatever it draws."""
    network: Callable[[], nn.Module]
    """The protocol's own architecture (R_tar's; for an evaluator R_eval's), untrained."""
    trained: Callable[[], nn.Module]
    """The network of whoever gets this, trained: pinned, cached, or trained now. A ``Trainable``'s own; in its
    ``train``, and for all others, the protocol's, by its recipe."""
    fit: Callable[[nn.Module, Loss], None]
    """Train a network in place on a loss over random augmented batches of ``photos``, by the protocol's recipe; leaves
    it in evaluation mode. Tells ``progress``."""
    progress: Progress = field(default=_silent)


@dataclass(frozen=True)
class Enrolment(Fitting):
    """What a defense prepares itself from: the enrolled people's photos and what the target says of them."""

    answers: Callable[[], Tensor] = field(kw_only=True)
    """The undefended target's scores (n, classes) for ``photos``, asked for once and only if wanted."""


class Trainable(Component):
    """A component with a network of its own, which is trained once per fold, pinned or cached like the protocol's."""

    version: ClassVar[int] = 1
    """Raise it when what is trained changes otherwise than by the parameters."""

    @abstractmethod
    def network(self, fitting: Fitting) -> nn.Module:
        """The network, untrained, for these people and images of this shape."""

    @abstractmethod
    def train(self, network: nn.Module, fitting: Fitting) -> None:
        """Train it in place on ``fitting.photos``; torch's global generator is seeded and is its only randomness.

        Ends in evaluation mode.
        """
