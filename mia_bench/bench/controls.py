"""What a judge's figure is read against, measured and kept: floor, null, ceiling, and the judge on real photos.

The null is what an attack gets without any photo of the person: it is run on an R_tar retrained with other people in
its targets' places (``data.null``), and its reconstructions are judged for the targets all the same.
"""

import hashlib
import json
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from ..files import write_atomic
from ..networks.store import cache_dir
from ..plugin.attack import Attack, checked
from ..plugin.defense import Pipeline
from ..plugin.oracle import Oracle
from ..plugin.seeds import rng
from .laboratory import Laboratory, mean_of_people
from .panel import hits_of, ranks_of

FORMAT = 1
"""Raise it when what is measured changes otherwise than by what ``_key`` covers."""


class Controls(BaseModel):
    """One fold's controls by judge (and ``majority``), then by identity: shares of images whose person is put first."""

    model_config = ConfigDict(frozen=True)

    floor: dict[str, dict[str, float]]
    """Of the seeds D(z0), before any attack."""
    null: dict[str, dict[str, float]]
    """Of reconstructions made without any photo of the person."""
    ceiling: dict[str, dict[str, float]]
    """Of D(E(photo)), of real photos that the judges have not seen."""
    real: dict[str, float]
    """Of such photos themselves, averaged within a person first."""


def measure(
    lab: Laboratory, fold: str, generator: str, identities: tuple[str, ...], each: int, seed: int, attack: Attack
) -> Controls:
    """The controls of ``each`` trials of these identities, from the cache or measured now; ``attack`` is the null's."""
    file = cache_dir() / "controls" / f"{_key(lab, fold, generator, identities, each, seed, attack)}.json"
    try:
        return Controls.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        pass  # not measured yet, or damaged: measured, and written anew
    found = _measure(lab, fold, generator, identities, each, seed, attack)
    write_atomic(file, found.model_dump_json(indent=1).encode())
    return found


def _measure(
    lab: Laboratory, fold: str, generator: str, identities: tuple[str, ...], each: int, seed: int, attack: Attack
) -> Controls:
    split, judges, prior = lab.split(fold), lab.judges(fold), lab.generator(fold, generator)
    trials = lab.trials(fold, generator, identities, each, seed)
    shown = [identity for identity in identities for _ in range(each)]
    oracle = Oracle(
        lab.null_target(fold),
        Pipeline(()),
        access=attack.access,
        trials=len(trials),
        budget=lab.protocol.run.budget,
        rng=rng(seed, fold, "null"),
    )
    made = checked(attack.run(oracle, prior, trials), trials, lab.protocol.data.image, attack).images
    unseen = split.q3_test
    decoded = prior.decode(prior.encode(unseen.images))
    real = hits_of(ranks_of(judges, unseen.images, unseen.names))
    return Controls(
        floor=_shares(hits_of(ranks_of(judges, prior.decode(trials.z0), shown)), shown, identities),
        null=_shares(hits_of(ranks_of(judges, made, shown)), shown, identities),
        ceiling=_shares(hits_of(ranks_of(judges, decoded, unseen.names)), unseen.names, identities),
        real={name: mean_of_people(hit, unseen) for name, hit in real.items()},
    )


def _shares(hits: Mapping[str, Tensor], shown: list[str], identities: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """By judge and identity, from whether (B,) each image counts and whom (B) it is meant to show."""
    places = {identity: [i for i, person in enumerate(shown) if person == identity] for identity in identities}
    return {
        name: {identity: round(float(hit[own].float().mean()), 6) for identity, own in places.items()}
        for name, hit in hits.items()
    }


def _key(
    lab: Laboratory, fold: str, generator: str, identities: tuple[str, ...], each: int, seed: int, attack: Attack
) -> str:
    """Hash of all that decides the figures."""
    plugins = [attack, *lab.evaluators_present]
    content = {
        "format": FORMAT,
        "protocol": lab.protocol.sha256,
        "device": lab.engine.device.type,
        "run": [fold, generator, identities, each, seed],
        "plugins": [(plugin.spec, plugin.parameters, plugin.source_sha256) for plugin in plugins],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
