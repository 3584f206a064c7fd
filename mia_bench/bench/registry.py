"""The plugin door: built-in and third-party components by name, through the same entry points or a file."""

import difflib
import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..plugin.attack import Attack
from ..plugin.component import Component
from ..plugin.defense import Defense, Pipeline
from ..plugin.errors import RequestError, first_problem
from ..plugin.evaluator import Evaluator
from ..plugin.target import Target

KINDS: dict[str, type[Component]] = {"attack": Attack, "defense": Defense, "target": Target, "evaluator": Evaluator}
"""What can be plugged in, and the base class of each. The entry-point group is ``mia_bench.<kind>s``."""

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
                except Exception as error:  # a plugin's import may fail in any way: it is listed with its error
                    self._add(Entry(kind, point.name, origin, None, f"{type(error).__name__}: {error}"))
                else:
                    self._add(Entry(kind, point.name, origin, found))
        for file in files:
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

    def attack(self, spec: str) -> Attack:
        """The attack a spec such as ``bb:M=64`` names; RequestError with a mend if it is not one."""
        component = self._parse("attack", spec)
        assert isinstance(component, Attack)
        return component

    def target(self, spec: str) -> Target:
        """The target a spec such as ``paper`` names; RequestError with a mend if it is not one."""
        component = self._parse("target", spec)
        assert isinstance(component, Target)
        return component

    def evaluator(self, spec: str) -> Evaluator:
        """The judge a spec such as ``reval`` names; RequestError with a mend if it is not one."""
        component = self._parse("evaluator", spec)
        assert isinstance(component, Evaluator)
        return component

    def defense(self, spec: str) -> Pipeline:
        """The defenses a spec such as ``topk5+round2`` names, left to right; RequestError with a mend if it is not one.

        ``none`` beside others is dropped.
        """
        parsed = [self._parse("defense", part) for part in spec.split("+")]
        stages = [stage for stage in parsed if isinstance(stage, Defense)]
        return Pipeline(tuple(stage for stage in stages if stage.name != "none") or tuple(stages[:1]))

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
    return found


def _from_file(file: Path) -> list[tuple[str, type[Component]]]:
    """The components that a Python file defines."""
    if not file.is_file():
        raise RequestError(f"plugin {file}: no such file")
    module_name = f"mia_bench_plugin_{file.stem}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise RequestError(f"plugin {file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file is the user's own: whatever it raises is the answer
        raise RequestError(f"plugin {file}: {type(error).__name__}: {error}") from error
    found = [
        (kind, value)
        for value in vars(module).values()
        for kind, base in KINDS.items()
        if inspect.isclass(value) and issubclass(value, base) and value.__module__ == module_name
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
    return found
