"""A cell: one attack against one defense, as data. Its id is the hash of all that decides its outcome."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from ..plugin.access import Access
from ..plugin.attack import Attack
from ..plugin.component import Component
from ..plugin.defense import Pipeline
from ..plugin.evaluator import Evaluator
from ..plugin.target import Target
from ..protocol.model import Protocol
from ..records import record


@dataclass(frozen=True)
class Settings:
    """What all cells of a run share."""

    protocol: Protocol
    target: Target
    generator: str
    """The attacker's D, by its name in the protocol."""
    folds: tuple[str, ...]
    identities: int
    """Attacked in each fold: the first so many of its targets."""
    trials: int
    budgets: tuple[int, ...]
    """Queries per trial at which an attack is judged, ascending; the last is what a trial may spend."""
    seed: int
    device: str
    evaluators: tuple[Evaluator, ...]
    """The judges."""
    null_attack: Attack
    """For the null control."""
    suite: str = ""
    """The suite whose terms these are, if one."""
    development: int = 0
    """The first so many identities of each fold are those on which a suite's best attack is chosen."""

    @property
    def budget(self) -> int:
        """Queries a trial may spend."""
        return self.budgets[-1]


@dataclass(frozen=True)
class Cell:
    """One attack against one defense under the run's settings, on every chosen fold."""

    settings: Settings
    defense: Pipeline
    attack: Attack

    @property
    def cell_id(self) -> str:
        """Content hash of all that decides the outcome."""
        s = self.settings
        components: list[Component] = [s.target, *self.defense.stages, self.attack, s.null_attack, *s.evaluators]
        content = {
            "schema": record.SCHEMA,
            "protocol": s.protocol.sha256,
            "specs": [s.target.spec, self.defense.spec, self.attack.spec],
            "parameters": self.parameters,
            "sources": [component.source_sha256 for component in components],
            "judges": [(judge.spec, judge.missing()) for judge in s.evaluators],
            "target": s.target.fingerprint(s.folds),
            "run": [s.generator, s.folds, s.identities, s.trials, s.budgets, s.seed, s.suite, s.development],
            "device": s.device.partition(":")[0],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def parameters(self) -> dict[str, Any]:
        """Every parameter in force, defaults included."""
        return {
            "target": self.settings.target.parameters,
            "defense": [{"name": stage.name, **stage.parameters} for stage in self.defense.stages],
            "attack": self.attack.parameters,
        }

    def mismatch(self) -> str:
        """Why this pair makes no sense, or ''. Such a cell is recorded as skipped."""
        needs, granted = self.attack.access, self.settings.target.access
        if not granted.includes(needs):
            return (
                f"attack {self.attack.name} needs {needs} access; target {self.settings.target.name} grants {granted}"
            )
        if self.attack.adversarial and not self.settings.protocol.generators[self.settings.generator].has_critic:
            name, generator = self.attack.name, self.settings.generator
            return f"attack {name} needs a generator with a critic; {generator} has none (--generator gan)"
        try:
            self.attack.check(self.settings.protocol.generators[self.settings.generator].latent)
        except ValueError as error:
            return f"attack {self.attack.spec}: {error}"
        if needs is not Access.WHITE_BOX and not self.defense.access.includes(needs):
            return f"attack {self.attack.name} needs {needs}; defense {self.defense.spec} leaves {self.defense.access}"
        return ""
