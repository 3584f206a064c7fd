"""What an evaluator's figure is read against: images of which it is known what they show, judged like reconstructions.

The null is what an attack gets without any photo of the person: it is run on an R_tar retrained with other people in
its targets' places (``protocol.null``), and its reconstructions are judged for the targets all the same.
"""

import copy
import hashlib
import json
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..files import write_atomic
from ..networks.lesson import Role
from ..networks.store import cache_dir
from ..plugin.access import Access
from ..plugin.attack import Attack, checked
from ..plugin.defense import TrainedDefense
from ..plugin.evaluator import Evaluator
from ..plugin.seeds import derive
from .laboratory import Laboratory
from .oracle import open_oracle
from .sandbox import undisturbed

FORMAT = 2
"""Raise it when what is measured changes otherwise than by what the keys cover."""


@dataclass(frozen=True)
class Scope:
    """Whose controls: they depend on neither the attack nor what a defense does to answers."""

    fold: str
    generator: str
    identities: tuple[str, ...]
    trials: int
    seed: int
    null_attack: Attack
    training: TrainedDefense | None
    """The null's target is trained by the same defense."""


@dataclass(frozen=True)
class Shown:
    """Images (B, 1, H, W), and whom (B) each is meant to show."""

    images: Tensor
    people: list[str]


class Ranks(BaseModel):
    """An evaluator's rank, 0 the best, for the person whom each image is meant to show."""

    model_config = ConfigDict(frozen=True)

    floor: list[int]
    """Of the seeds D(z0), before any attack."""
    null: list[int]
    """Of reconstructions made without any photo of the person."""
    ceiling: list[int]
    """Of D(E(photo)), of real photos that the evaluators have not seen."""
    real: list[int]
    """Of such photos themselves."""


@dataclass(frozen=True)
class Controls:
    """One fold's control images, made once and judged by whoever judges."""

    floor: Shown
    null: Shown
    ceiling: Shown
    real: Shown
    key: str
    """Hash of all that decides the images."""

    def ranks(self, lab: Laboratory, evaluator: Evaluator, fold: str) -> Ranks:
        """What an evaluator says of them, from the cache or measured now."""
        content = [self.key, evaluator.spec, evaluator.parameters, evaluator.source_sha256, lab.protocol.sha256]
        digest = hashlib.sha256(json.dumps([FORMAT, *content], sort_keys=True).encode()).hexdigest()
        file = cache_dir() / "controls" / f"{digest}.json"
        try:
            found = Ranks.model_validate_json(file.read_bytes())
            if all(len(getattr(found, name)) == len(getattr(self, name).people) for name in Ranks.model_fields):
                return found
        except (OSError, ValidationError):
            pass  # not measured yet, or damaged: measured, and written anew
        fitted = lab.fit(evaluator, fold)
        ranks = {
            name: fitted.rank_of(shown.images, shown.people).tolist()
            for name in Ranks.model_fields
            if isinstance(shown := getattr(self, name), Shown)
        }
        found = Ranks(**ranks)
        write_atomic(file, found.model_dump_json().encode())
        return found


def controls(lab: Laboratory, scope: Scope) -> Controls:
    """One fold's control images; the null's attack is run unless the cache has what it left."""
    split, prior = lab.split(scope.fold), lab.generator(scope.fold, scope.generator)
    trials = lab.trials(scope.fold, scope.generator, scope.identities, scope.trials, scope.seed)
    shown = [identity for identity in scope.identities for _ in range(scope.trials)]
    unseen = split.q3_test
    key = _key(lab, scope)
    return Controls(
        floor=Shown(prior.decode(trials.z0), shown),
        null=Shown(_null(lab, scope, key), shown),
        ceiling=Shown(prior.decode(prior.encode(unseen.images)), unseen.names),
        real=Shown(unseen.images, unseen.names),
        key=key,
    )


def _null(lab: Laboratory, scope: Scope, key: str) -> Tensor:
    file = cache_dir() / "controls" / f"{key}.safetensors"
    shape = (len(scope.identities) * scope.trials, 1, *lab.protocol.data.image)
    try:
        images = load(file.read_bytes())["images"]
        if tuple(images.shape) == shape and bool(((images >= 0) & (images <= 1)).all()):
            return images.to(lab.engine.device)
    except (OSError, SafetensorError, KeyError):
        pass
    target = lab.null_target(scope.fold, scope.training)
    prior = lab.generator(scope.fold, scope.generator)
    trials = lab.trials(scope.fold, scope.generator, scope.identities, scope.trials, scope.seed)
    oracle, _ = open_oracle(
        [target],
        target.logits,
        access=scope.null_attack.access,
        leaves=Access.SCORES,
        replicate=torch.zeros(len(trials), dtype=torch.int64),
        budgets=(lab.protocol.run.budget,),
        image=lab.protocol.data.image,
    )
    with undisturbed(derive(scope.seed, scope.fold, "global", "null")):
        made = scope.null_attack.renewed().run(oracle, copy.deepcopy(prior), trials.copied())
    images = checked(made, trials, lab.protocol.data.image, scope.null_attack).images
    write_atomic(file, save({"images": images.cpu().contiguous()}))
    return images


def _key(lab: Laboratory, scope: Scope) -> str:
    """Hash of all that decides the images: who judges them is no part of it."""
    attack = scope.null_attack
    content = {
        "format": FORMAT,
        "experiment": lab.protocol.experiment_sha256(scope.generator),
        "budget": lab.protocol.run.budget,
        "null": lab.lesson(Role("null", scope.training), scope.fold).sha256,
        "device": lab.engine.device.type,
        "run": [scope.fold, scope.generator, scope.identities, scope.trials, scope.seed],
        "attack": (attack.spec, attack.parameters, attack.source_sha256),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
