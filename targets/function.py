"""A user's own recognition service, through any Python function that asks it."""

import importlib
from collections.abc import Callable

from torch import Tensor

from mia_bench.core import CallableRecogniser, Enrolment, Recogniser, RequestError, Target


class FunctionTarget(Target):
    """``function:ref=package.module/name``: images (B, 1, H, W) in [0, 1] -> scores (B, classes).

    Classes are Q2's people in sorted order. Scores only: a service has no gradients to give.
    """

    name = "function"
    ref: str

    def enrol(self, enrolment: Enrolment) -> Recogniser:
        return CallableRecogniser(self._function(), enrolment.photos.classes, enrolment.engine)

    def _function(self) -> Callable[[Tensor], Tensor]:
        module, _, name = self.ref.rpartition("/")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, ValueError, AttributeError) as error:
            raise RequestError(
                f"target function: cannot load {self.ref!r} ({error}); write package.module/function"
            ) from error
        if not callable(function):
            raise RequestError(f"target function: {self.ref} is not callable")
        return function  # type: ignore[no-any-return]
