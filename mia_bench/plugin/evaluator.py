"""Who judges reconstructions: an independent recogniser, and how an evaluator plugin comes by one."""

from abc import abstractmethod
from typing import Protocol, runtime_checkable

from torch import Tensor

from .component import Component
from .fitting import Fitting, Trainable
from .target import Recogniser


class Evaluator(Component):
    """A kind of independent recogniser that judges; subclasses give ``fit``."""

    @classmethod
    def missing(cls) -> str:
        """Why it cannot judge here, and what enables it; '' where it can. It is then left out, with that reason."""
        return ""

    @abstractmethod
    def fit(self, fitting: Fitting) -> Recogniser:
        """The recogniser of one fold, its classes in the order of ``fitting.photos.people`` (Q3).

        Only the order of its scores counts. A person whom it does not accept at all is NaN.
        """


class NetworkEvaluator(Evaluator, Trainable):
    """An evaluator with a network of its own, whose weights are pinned or cached like the protocol's."""


@runtime_checkable
class HasFeatures(Protocol):
    """A recogniser with a feature space in which sets of images can be compared."""

    def features(self, images: Tensor) -> Tensor:
        """Features (B, d) float32 of images (B, 1, H, W), without gradients."""
        ...
