"""A cell: one request with its components at hand."""

from dataclasses import dataclass
from functools import cached_property

from ..plugin.access import Access
from ..plugin.attack import Attack
from ..plugin.component import Component
from ..plugin.defense import Pipeline, TrainedDefense
from ..plugin.evaluator import Evaluator
from ..plugin.target import Target
from ..protocol.model import GalleryRecipe, Protocol
from ..records.environment import mia_bench_version
from ..records.request import ComponentId, ProtocolId, Request
from .judging import Terms


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
    """Who judges."""
    null_attack: Attack
    """For the null control."""
    suite: str = ""
    """The suite whose terms these are, if one."""
    development: int = 0
    """So many identities of each fold, drawn by seed, are those on which a suite's best attack is chosen."""

    @property
    def budget(self) -> int:
        """Queries a trial may spend."""
        return self.budgets[-1]

    @property
    def terms(self) -> Terms:
        """Who judges, and against what."""
        return Terms(self.protocol, self.evaluators, self.null_attack)


@dataclass(frozen=True)
class Cell:
    """One attack against one defense under the run's settings, on every chosen fold."""

    settings: Settings
    defense: Pipeline
    attack: Attack

    @cached_property
    def request(self) -> Request:
        """What is asked, as data."""
        s = self.settings
        return Request(
            mia_bench=mia_bench_version(),
            protocol=ProtocolId(name=s.protocol.name, version=s.protocol.version, sha256=s.protocol.sha256),
            experiment=s.protocol.experiment_sha256(s.generator),
            target=_identified(s.target),
            fingerprint=s.target.fingerprint(s.folds),
            generator=s.generator,
            folds=s.folds,
            identities=s.identities,
            trials=s.trials,
            budgets=s.budgets,
            seed=s.seed,
            device=s.device.partition(":")[0],
            defense=self.defense.spec,
            stages=tuple(map(_identified, self.defense.stages)),
            attack=_identified(self.attack),
            access=self.attack.access,
            transfer=self.attack.transfer,
            suite=s.suite,
            development=s.development,
        )

    @property
    def cell_id(self) -> str:
        """Content hash of what is asked."""
        return self.request.cell_id

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
        if self.defense.training and not self.settings.target.trains:
            name, target = self.defense.training.name, self.settings.target.name
            return f"defense {name} trains the protocol's network; target {target} brings its own"
        if self.defense.training and isinstance(self.settings.protocol.target, GalleryRecipe):
            name, protocol = self.defense.training.name, self.settings.protocol.name
            return f"defense {name} trains the target's network; protocol {protocol} brings it trained"
        try:
            self.attack.check(self.settings.protocol.generators[self.settings.generator].latent)
        except ValueError as error:
            return f"attack {self.attack.spec}: {error}"
        if needs is not Access.WHITE_BOX and not self.defense.access.includes(needs):
            return f"attack {self.attack.name} needs {needs}; defense {self.defense.spec} leaves {self.defense.access}"
        return ""


def _identified(component: Component) -> ComponentId:
    return ComponentId(
        spec=component.spec,
        parameters=component.parameters,
        sources=component.source_sha256,
        trains=isinstance(component, TrainedDefense),
    )
