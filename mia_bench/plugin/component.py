"""What attacks, defenses and targets have in common: a name, typed parameters, and one canonical way to write both."""

import hashlib
import inspect
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Component(BaseModel):
    """A plugin: an immutable, validated set of hyper-parameters under a registered name.

    Annotated class attributes are its parameters (pydantic fields). A parameter without a default must be given and
    is always part of the canonical spec; one left at its default is not written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str] = ""
    """The name it is registered and asked for under."""
    short: ClassVar[str | None] = None
    """The parameter that text glued to the name sets: with ``short = "k"``, ``topk5`` means ``topk:k=5``."""

    @property
    def spec(self) -> str:
        """Canonical spec, e.g. ``topk:k=5``; two components with equal specs behave alike."""
        fields = type(self).model_fields
        shown = [
            f"{key}={_written(getattr(self, key))}"
            for key, field in fields.items()
            if field.is_required() or getattr(self, key) != field.get_default()
        ]
        return self.name + (":" + ",".join(shown) if shown else "")

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter with its value, as JSON has it."""
        return self.model_dump(mode="json")

    @property
    def source_sha256(self) -> str:
        """SHA-256 of the files that define it and the plugins it derives from, and of the private modules (``_*.py``)
        beside them, so that a record is not reused after its plugin was edited."""
        plugins = [kind for kind in type(self).__mro__ if issubclass(kind, Component) and not _is_core(kind)]
        files = {Path(file) for kind in plugins if (file := inspect.getsourcefile(kind))}
        files |= {private for file in files for private in file.parent.glob("_[!_]*.py")}
        digest = hashlib.sha256()
        for source in sorted(files, key=lambda file: file.name):
            digest.update(hashlib.sha256(source.read_bytes()).digest())
        return digest.hexdigest()


def _is_core(kind: type) -> bool:
    return kind.__module__.startswith(__package__ + ".")


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(_written(item) for item in value)
    return str(value)
