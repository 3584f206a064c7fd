"""What attacks, defenses, targets and evaluators have in common: a name, typed parameters, and one canonical way to
write both."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from . import sources


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
        """SHA-256 of the code that defines it (``sources.sha256_of``), so that a record is not reused after its plugin,
        or what the plugin imports from beside it, was edited."""
        return sources.sha256_of(type(self))

    def renewed(self) -> Self:
        """The same parameters in another instance: what one keeps in private attributes reaches no other use of it."""
        return type(self).model_construct(**dict(self))

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        sources.remember(cls)

    def __reduce__(self) -> Any:
        """One from a plugin file travels as the file's path: another process has to run the file first."""
        values = dict(self)
        file = sources.plugin_file(type(self))
        if file is None:
            return _made, (type(self), values)
        return _made_from_file, (file, type(self).__qualname__, values)


def _made(kind: type[Component], values: dict[str, Any]) -> Component:
    return kind.model_construct(**values)


def _made_from_file(file: str, qualname: str, values: dict[str, Any]) -> Component:
    found: Any = sources.run(file)
    for name in qualname.split("."):
        found = getattr(found, name)
    return _made(found, values)


def _written(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(_written(item) for item in value)
    return str(value)
