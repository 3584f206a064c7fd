"""One fold of a request made real: who is attacked, with what prior, behind what service."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..networks.lesson import Role
from ..plugin.attack import Trials
from ..plugin.defense import Pipeline
from ..plugin.fitting import Enrolment
from ..plugin.generator import Generator
from ..plugin.seeds import rng
from ..plugin.service import Service
from ..plugin.target import ModuleRecogniser, Recogniser
from ..protocol.split import Split
from .cell import Cell
from .laboratory import Laboratory


@dataclass(frozen=True)
class Scene:
    """What an attack meets. Nothing here depends on the defense but ``service``."""

    fold: str
    identities: tuple[str, ...]
    split: Split
    generator: Generator
    codes: Tensor
    """Q1's photos as latents (n, m)."""
    trials: Trials
    recogniser: Callable[[], Recogniser]
    """The target's, with nothing remembered: as a defense trained it, if one did, without what it does to answers."""
    service: Callable[..., Service]
    """A defended service with nothing remembered; its noise is drawn for the given roles."""
    steady: bool
    """An image gets the same answer (but for noise) whoever asks, and whatever was asked before: all repetitions of
    the experiment may share one service, and their images its batches."""


def scene(cell: Cell, fold: str, lab: Laboratory) -> Scene:
    """One fold of a cell."""
    s = cell.settings
    split = lab.split(fold)
    identities = split.targets[: s.identities]

    def recogniser() -> Recogniser:
        return lab.target(fold, s.target, cell.defense.training)

    learnt = cell.defense.prepare(_enrolment(cell.defense, fold, lab, recogniser))

    def service(*roles: str | int) -> Service:
        return cell.defense.wrap(recogniser(), learnt, rng(s.seed, fold, *roles), split.q2.classes)

    return Scene(
        fold,
        identities,
        split,
        lab.generator(fold, s.generator),
        lab.codes(fold, s.generator),
        lab.trials(fold, s.generator, identities, s.trials, s.seed),
        recogniser,
        service,
        steady=s.target.steady and not cell.defense.remembers and type(recogniser()) is ModuleRecogniser,
    )


def _enrolment(defense: Pipeline, fold: str, lab: Laboratory, recogniser: Callable[[], Recogniser]) -> Enrolment:
    fitting = lab.fitting(Role("target", defense.training), fold)
    said: list[Tensor] = []

    def answers() -> Tensor:
        if not said:
            said.append(recogniser().scores(fitting.photos.images))
        return said[0].clone()

    return Enrolment(**vars(fitting), answers=answers)
