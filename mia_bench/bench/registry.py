"""The plugin door: built-in and third-party components by name, through the same entry points or a file."""

import difflib
import inspect
import re
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from ..plugin import sources
from ..plugin.attack import Attack
from ..plugin.component import Component
from ..plugin.defense import Defense, Pipeline, TrainedDefense
from ..plugin.errors import RequestError, first_problem, told
from ..plugin.evaluator import Evaluator
from ..plugin.target import Target

KINDS: dict[str, type[Component]] = {"attack": Attack, "defense": Defense, "target": Target, "evaluator": Evaluator}
"""What can be plugged in, and the base class of each. The entry-point group is ``mia_bench.<kind>s``."""

ComponentT = TypeVar("ComponentT", bound=Component)

_EXAMPLES = {"attack": "bb", "defense": "topk5", "target": "paper", "evaluator": "reval"}

_NUMBER = re.compile(r"[-+]?(\d|\.\d|nan|inf)", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """One registered plugin; ``component`` is None where it failed to load, and ``error`` says why."""

    kind: str
    name: str
    origin: str
    component: type[Component] | None
    error: str = ""

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (inspect.getdoc(self.component) or "").split("\n", 1)[0] if self.component else ""

    @property
    def missing(self) -> str:
        """What an evaluator lacks here and how to get it; '' for all else."""
        return self.component.missing() if self.component and issubclass(self.component, Evaluator) else ""


class Registry:
    """All plugins that are installed, and those in the given files."""

    def __init__(self, files: tuple[Path, ...] = ()) -> None:
        self._entries: dict[tuple[str, str], Entry] = {}
        for kind in KINDS:
            for point in sorted(entry_points(group=f"mia_bench.{kind}s"), key=lambda point: point.name):
                origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
                try:
                    found = _checked(kind, point.name, point.load())
                except KeyboardInterrupt:
                    raise
                except BaseException as error:  # a plugin's import may fail in any way: it is listed with its error
                    self._add(Entry(kind, point.name, origin, None, told(error)))
                else:
                    self._add(Entry(kind, point.name, origin, found))
        for file in dict.fromkeys(path.resolve() if path.exists() else path for path in files):
            for kind, component in _from_file(file):
                self._add(Entry(kind, component.name, str(file), component))

    def _add(self, entry: Entry) -> None:
        other = self._entries.get((entry.kind, entry.name))
        if other is not None:
            raise RequestError(
                f"{entry.kind} {entry.name!r} comes from both {other.origin} and {entry.origin}; rename one of them"
            )
        self._entries[entry.kind, entry.name] = entry

    def entries(self, kind: str) -> list[Entry]:
        """Everything registered of a kind, by name."""
        return [entry for (of, _), entry in sorted(self._entries.items()) if of == kind]

    def attack(self, asked: str | Attack) -> Attack:
        """The attack that a spec such as ``bb:M=64`` names, or the one given; RequestError with a mend if neither."""
        return self._component("attack", asked, Attack)  # type: ignore[type-abstract]

    def target(self, asked: str | Target) -> Target:
        """The target that a spec such as ``paper`` names, or the one given."""
        return self._component("target", asked, Target)  # type: ignore[type-abstract]

    def evaluator(self, asked: str | Evaluator) -> Evaluator:
        """The evaluator that a spec such as ``reval`` names, or the one given."""
        return self._component("evaluator", asked, Evaluator)  # type: ignore[type-abstract]

    def defense(self, asked: str | Defense | Pipeline) -> Pipeline:
        """The defenses that a spec such as ``topk5+round2`` names, left to right, or those given; RequestError with a
        mend if neither. ``none`` beside others is dropped."""
        if isinstance(asked, Pipeline):
            return asked
        parts: list[str] | list[Defense] = _stages(asked) if isinstance(asked, str) else [asked]
        stages = [self._component("defense", part, Defense) for part in parts]
        return Pipeline([stage for stage in stages if stage.name != "none"] or stages[:1])

    def _component(self, kind: str, asked: object, base: type[ComponentT]) -> ComponentT:
        if isinstance(asked, base):
            if not asked.name:
                raise RequestError(f'{kind} {type(asked).__name__} has no name; add a line: name = "my{kind}"')
            if problem := _checked_name(kind, type(asked)):
                raise RequestError(f"{kind} {type(asked).__name__} {problem}")
            registered = self._entries.get((kind, asked.name))
            if registered is not None and registered.component is not type(asked):
                said = f"{kind} {type(asked).__name__} is called {asked.name!r}"
                raise RequestError(f"{said} like that of {registered.origin}; rename it")
            return asked
        if isinstance(asked, type) and issubclass(asked, base):
            raise RequestError(f"{kind} {asked.__name__} is a class; give an instance: {asked.__name__}()")
        if not isinstance(asked, str):
            raise RequestError(f"{kind} {asked!r} is neither a spec such as {_EXAMPLES[kind]!r} nor a {base.__name__}")
        found = self._parse(kind, asked)
        assert isinstance(found, base)
        return found

    def _parse(self, kind: str, spec: str) -> Component:
        entry, given = self._find(kind, spec.strip())
        if entry.component is None:
            raise RequestError(f"{kind} {entry.name!r} of {entry.origin} does not load: {entry.error}")
        try:
            return entry.component(**_values(entry.component, given))
        except ValidationError as error:
            known = ", ".join(entry.component.model_fields) or "none"
            raise RequestError(f"{kind} {spec!r}: {first_problem(error)} (parameters: {known})") from None
        except ValueError as error:
            raise RequestError(f"{kind} {spec!r}: {error}") from None

    def _find(self, kind: str, spec: str) -> tuple[Entry, str]:
        """The entry a spec names, and its parameters as written."""
        head, colon, given = spec.partition(":")
        names = [name for of, name in self._entries if of == kind]
        if head in names:
            return self._entries[kind, head], given
        for name in sorted(names, key=len, reverse=True):
            entry = self._entries[kind, name]
            glued = head[len(name) :]
            short = entry.component.short if entry.component else None
            if head.startswith(name) and not colon and short and _NUMBER.match(glued):
                return entry, f"{short}={glued}"
        stem = re.sub(r"[-+\d.]+$", "", head)
        close = difflib.get_close_matches(stem or head, names, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(names))}"
        raise RequestError(f"unknown {kind} {spec!r}; {hint} ('mia-bench list' shows all)")


def _values(component: type[Component], given: str) -> dict[str, Any]:
    """``a=1,b=2/3`` as keyword arguments, still text; a tuple's items are separated by ``/``."""
    values: dict[str, Any] = {}
    for piece in filter(None, given.split(",")):
        key, equals, value = piece.partition("=")
        if not equals:
            raise ValueError(f"{piece!r} is not written parameter=value")
        if key in values:
            raise ValueError(f"{key} is given twice")
        field = component.model_fields.get(key)
        is_tuple = field is not None and str(field.annotation).startswith("tuple")
        values[key] = value.split("/") if is_tuple else value
    return values


def _checked(kind: str, name: str, found: object) -> type[Component]:
    if not (inspect.isclass(found) and issubclass(found, KINDS[kind])):
        raise TypeError(f"{found!r} is not a subclass of mia_bench.{KINDS[kind].__name__}")
    if inspect.isabstract(found):
        raise TypeError(f"it does not define {', '.join(sorted(found.__abstractmethods__))}")
    if found.name != name:
        raise TypeError(f"it is registered as {name!r} but its class says name = {found.name!r}")
    if problem := _checked_name(kind, found):
        raise TypeError(f"its class {problem}")
    return found


def _stages(spec: str) -> list[str]:
    """``topk5+round2`` as its stages; a ``+`` inside a value such as 1e+16 separates none: no
    stage begins with a digit."""
    return re.split(r"\+(?!\s*[\d.])", spec)


def _from_file(file: Path) -> list[tuple[str, type[Component]]]:
    """The components that a Python file defines."""
    if not file.is_file():
        raise RequestError(f"plugin {file}: no such file")
    try:
        module = sources.run(file)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # the file is the user's own: whatever it raises is the answer
        raise RequestError(f"plugin {file}: {told(error)}") from error
    found = [
        (kind, value)
        for value in vars(module).values()
        for kind, base in KINDS.items()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module.__name__
        if value.name or not inspect.isabstract(value)  # a nameless abstract class is a base for others
    ]
    if not found:
        raise RequestError(f"plugin {file}: defines no Attack, Defense, Evaluator or Target")
    for kind, component in found:
        if inspect.isabstract(component):
            missing = ", ".join(sorted(component.__abstractmethods__))
            raise RequestError(f"plugin {file}: {component.__name__} does not define {missing}")
        if not component.name:
            raise RequestError(f'plugin {file}: {component.__name__} has no name; add a line: name = "my{kind}"')
        if problem := _checked_name(kind, component):
            raise RequestError(f"plugin {file}: {component.__name__} {problem}")
    return found


def _checked_name(kind: str, component: type[Component]) -> str:
    """What is wrong with a plugin's name, or with a defense that does nothing; ''."""
    if not (isinstance(component.name, str) and re.fullmatch(r"[A-Za-z][\w.-]*", component.name)):
        return f"has name = {component.name!r}: give a letter, then letters, digits, '.', '_' or '-'"
    if kind == "defense" and issubclass(component, Defense) and not _does_something(component):
        return "does not define release, wrap or train"
    return ""


def _does_something(defense: type[Defense]) -> bool:
    return issubclass(defense, TrainedDefense) or any(
        getattr(defense, name) is not getattr(Defense, name) for name in ("release", "wrap")
    )
