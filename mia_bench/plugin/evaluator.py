"""Who judges reconstructions: an independent recogniser, and how an evaluator plugin comes by one."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from .component import Component
from .engine import Engine
from .photos import Photos
from .target import Recogniser

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class Fitting:
    """What an evaluator plugin gets for one fold: Q3, and nothing that R_tar or the attacker has seen."""

    fold: str
    photos: Photos
    """Q3: the photos it may learn from; ``photos.people`` is the order of its classes."""
    engine: Engine
    seed: int
    """Of whatever it draws."""
    trained: Callable[[], nn.Module]
    """Trained weights, pinned, cached, or trained now: a ``NetworkEvaluator``'s own, else the protocol's R_eval."""


class Evaluator(Component):
    """A kind of judge; subclasses give ``fit``."""

    @classmethod
    def missing(cls) -> str:
        """Why it cannot judge here, and what enables it; '' where it can. It is then left out, with that reason."""
        return ""

    @abstractmethod
    def fit(self, fitting: Fitting) -> Recogniser:
        """The recogniser of one fold, its classes in the order of ``fitting.photos.people``.

        Only the order of its scores counts. A person whom it does not accept at all is NaN.
        """


class NetworkEvaluator(Evaluator):
    """An evaluator with a network of its own, whose weights are pinned or cached like the protocol's."""

    version: ClassVar[int] = 1
    """Raise it when what is trained changes otherwise than by the parameters."""

    @abstractmethod
    def network(self, photos: Photos) -> nn.Module:
        """The network, untrained, for these people and images of this shape."""

    @abstractmethod
    def train(self, network: nn.Module, photos: Photos, device: torch.device, progress: Progress) -> None:
        """Train it in place on Q3; torch's global generator is seeded and is its only source of randomness."""


@runtime_checkable
class HasFeatures(Protocol):
    """A recogniser with a feature space in which sets of images can be compared."""

    def features(self, images: Tensor) -> Tensor:
        """Features (B, d) float32 of images (B, 1, H, W), without gradients."""
        ...
