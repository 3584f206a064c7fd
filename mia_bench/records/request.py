"""What is asked of one cell, as data: validated once, kept in the record, and hashed into its id."""

import hashlib
import json
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from ..plugin.access import Access
from .figures import Part

Count = Annotated[int, Field(ge=1)]


class ProtocolId(Part):
    """Which experiment."""

    name: str
    version: int
    sha256: str


class ComponentId(Part):
    """A plugin as it was: what it was called with, and the code behind it."""

    spec: str
    parameters: dict[str, Any]
    """Every parameter, defaults included."""
    sources: str = ""
    """``Component.source_sha256``; '' in records of before it was kept."""
    trains: Annotated[bool, Field(exclude_if=lambda trains: not trains)] = False
    """True for the defense that trains the target's network."""


class Request(Part):
    """One attack against one defense."""

    mia_bench: str
    """Version."""
    protocol: ProtocolId
    experiment: str = ""
    """SHA-256 of what of the protocol decides an attempt (``Protocol.experiment_sha256``): neither who judges it nor
    what a request says itself."""
    target: ComponentId
    fingerprint: str = ""
    """Of what the target's parameters point to."""
    generator: str
    """The attacker's D, by its name in the protocol."""
    folds: Annotated[tuple[str, ...], Field(min_length=1)]
    identities: Count
    """Attacked in each fold: the first so many of its targets."""
    trials: Count
    """Per identity."""
    budgets: Annotated[tuple[Count, ...], Field(min_length=1)]
    """Queries per trial at which the attack is judged, ascending; the last is what a trial may spend."""
    seed: int
    device: str
    """``cpu`` or ``cuda``."""
    defense: str
    """Canonical spec of the whole pipeline."""
    stages: tuple[ComponentId, ...]
    attack: ComponentId
    access: Access
    """What the attack needs, and is granted."""
    transfer: bool = False
    """True if the attack is made on a copy of the target that it builds from answers."""
    suite: str = ""
    """The suite whose terms these are, if one."""
    development: Annotated[int, Field(ge=0)] = 0
    """So many identities of each fold, drawn by seed, are those on which a suite's best attack is chosen."""

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if list(self.budgets) != sorted(set(self.budgets)):
            raise ValueError(f"budgets {self.budgets} do not ascend")
        return self

    @property
    def budget(self) -> int:
        """Queries a trial may spend."""
        return self.budgets[-1]

    @property
    def attempt_id(self) -> str:
        """Hash of all that decides what the attack leaves: neither who judges it nor how a board reads it."""
        return _hash(self.model_dump(mode="json", exclude={"protocol", "suite", "development", "transfer"}))

    @property
    def cell_id(self) -> str:
        """The attempt under the terms of a suite, or of none: what one record is about."""
        return _hash([self.attempt_id, self.suite, self.development])


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
