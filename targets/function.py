"""A user's own recognition service, through any Python function that asks it."""

import hashlib
import importlib
import inspect
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from mia_bench.plugin import CallableRecogniser, Fitting, Recogniser, RequestError, Target


class FunctionTarget(Target):
    """``function:ref=package.module/name``: images (B, 1, H, W) in [0, 1] -> scores (B, classes).

    Classes are Q2's people in sorted order. Scores only: a service has no gradients to give.
    """

    name = "function"
    ref: str

    def fingerprint(self, folds: tuple[str, ...]) -> str:
        """Of the file that defines the function; what a service behind it does, nobody here can know."""
        file = inspect.getsourcefile(inspect.unwrap(self._function()))
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""

    def enrol(self, fitting: Fitting) -> Recogniser:
        return CallableRecogniser(self._function(), fitting.photos.classes, fitting.engine)

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
