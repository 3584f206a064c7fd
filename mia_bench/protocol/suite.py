"""Suites: frozen, versioned lists of attacks; a defense's headline is its worst case over one."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from . import toml
from .toml import Section

Budgets = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


class Suite(Section):
    """Attacks and the terms they are compared on."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
    version: Annotated[int, Field(ge=1)]
    about: str = ""
    attacks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Specs, in the order in which they run."""
    trials: Annotated[int, Field(ge=1)]
    """Per identity."""
    development: Annotated[float, Field(gt=0, lt=1)]
    """Share of each fold's identities, drawn by seed, on which the attack is chosen that is reported on the
    others."""
    budgets: dict[str, Budgets]
    """Queries per trial at which defenses are compared, ascending, by the protocol's name; ``default`` for others."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if "default" not in self.budgets:
            raise ValueError("budgets needs a line default = [...]")
        for name, budgets in self.budgets.items():
            if list(budgets) != sorted(set(budgets)):
                raise ValueError(f"budgets.{name} is not ascending")
        return self

    @property
    def title(self) -> str:
        """As records name it: the name of one that comes with the package, e.g. ``v1``; a user's own with its version
        and a hash of what it says, so that records under other terms are not taken for this one's."""
        if self.name in built_in() and self == load(self.name):
            return self.name
        digest = hashlib.sha256(self.model_dump_json(exclude={"about"}).encode()).hexdigest()
        return f"{self.name}-{self.version}-{digest[:8]}"

    def budgets_on(self, protocol: str) -> tuple[int, ...]:
        """Queries per trial at which defenses are compared on a protocol, ascending."""
        return self.budgets.get(protocol, self.budgets["default"])

    def development_of(self, identities: int) -> int:
        """How many of a fold's identities are for development: at least one, and one at least is not."""
        return min(max(1, round(self.development * identities)), identities - 1)


BUILT_IN = Path(__file__).parent / "suites"


def built_in() -> list[str]:
    """The names of the suites that come with the package."""
    return toml.names_in(BUILT_IN)


def load(name_or_path: str) -> Suite:
    """A built-in suite by name, or a user's own TOML file; RequestError names the file and the key."""
    return toml.read("suite", toml.find("suite", name_or_path, BUILT_IN), Suite)
