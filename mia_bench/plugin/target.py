"""What is attacked: a recogniser, the innermost service, and how a target plugin comes by one."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from .access import Access
from .component import Component
from .engine import Engine
from .errors import ComponentError, told
from .fitting import Fitting
from .service import Query


class Recogniser(ABC):
    """Images (B, 1, H, W) in [0, 1] -> scores (B, classes), p(n|x)."""

    access: ClassVar[Access] = Access.SCORES
    """The most that can be granted on it."""

    @abstractmethod
    def scores(self, images: Tensor) -> Tensor:
        """Scores (B, classes) float32 in [0, 1], without gradients."""

    def __call__(self, query: Query) -> Tensor:
        """As a service: it does not look at who asks. The answer is the caller's to change."""
        return self.scores(query.images.detach()).clone()


class ModuleRecogniser(Recogniser):
    """A torch module giving logits: the only kind that allows white-box access."""

    access = Access.WHITE_BOX

    def __init__(self, module: nn.Module, engine: Engine) -> None:
        self._module = engine.ready(module)
        self._engine = engine

    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, classes), differentiable in the images."""
        return self._engine.map(self._module, images)

    def scores(self, images: Tensor) -> Tensor:
        with torch.inference_mode():
            return self.logits(images).softmax(1)


class CallableRecogniser(Recogniser):
    """A function from images (B, 1, H, W) to scores (B, classes), such as a client of a running service.

    It is called with CPU tensors of at most ``MOST_IMAGES``.
    """

    MOST_IMAGES: ClassVar[int] = 256

    def __init__(self, function: Callable[[Tensor], Tensor], classes: int, engine: Engine) -> None:
        self._function = function
        self._classes = classes
        self._engine = engine

    def scores(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            pieces = torch.split(images.detach().cpu(), self.MOST_IMAGES)
            return torch.cat([self._ask(piece) for piece in pieces]).to(self._engine.device)

    def _ask(self, images: Tensor) -> Tensor:
        try:
            answer = torch.as_tensor(self._function(images), dtype=torch.float32, device="cpu")
        except Exception as error:  # somebody else's code: whatever it raises is named
            raise ComponentError(f"the target raised {told(error)}") from error
        if answer.shape != (len(images), self._classes):
            raise ComponentError(
                f"the target answered shape {tuple(answer.shape)} for {len(images)} images; "
                f"expected ({len(images)}, {self._classes}), one score per enrolled person"
            )
        if not bool(answer.isfinite().all()) or bool((answer < 0).any()) or bool((answer > 1 + 1e-4).any()):
            raise ComponentError("the target answered scores outside [0, 1]")
        return answer


class Target(Component):
    """A family of recognisers; subclasses give ``enrol``."""

    access: ClassVar[Access] = Access.SCORES
    """The most an attacker can be granted on it: ``WHITE_BOX`` only where ``enrol`` returns a ModuleRecogniser."""

    steady: ClassVar[bool] = False
    """True if it answers an image alike whoever asks and whatever was asked before: ``enrol`` gives a ModuleRecogniser
    over a network that remembers nothing."""
    trains: ClassVar[bool] = False
    """True if ``enrol`` takes its network from ``fitting.trained()``, so that a defense can train it otherwise."""

    def fingerprint(self, folds: tuple[str, ...]) -> str:
        """Hash of what its parameters point to (files, say) and which decides its answers; '' where nothing does."""
        return ""

    @abstractmethod
    def enrol(self, fitting: Fitting) -> Recogniser:
        """The recogniser of one fold, its classes in the order of ``fitting.photos.people`` (Q2).

        ``fitting.trained()`` is the protocol's R_tar, or what a defense that trains made in its place. Asked for anew
        wherever a service is made, so that what it remembers ends with the service.
        """
