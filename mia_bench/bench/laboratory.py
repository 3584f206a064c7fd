"""A protocol made real: its splits, trained networks, judges and trials, each built once and only when asked for."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..files import write_atomic
from ..networks import generators, store, training
from ..plugin.attack import Trials
from ..plugin.engine import Engine
from ..plugin.errors import RequestError
from ..plugin.evaluator import Evaluator, Fitting, NetworkEvaluator
from ..plugin.generator import Generator
from ..plugin.photos import Photos
from ..plugin.seeds import Streams, derive, rng
from ..plugin.target import Enrolment, ModuleRecogniser, Recogniser, Target
from ..protocol import null
from ..protocol import split as splits
from ..protocol.model import Protocol, RecogniserRecipe
from ..records.record import HEADLINE
from .registry import Registry

T = TypeVar("T")

OnWork = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all)."""


@dataclass(frozen=True)
class Judge:
    """An evaluator fitted on a fold: an independent recogniser (such as the paper's R_eval) and its people."""

    recogniser: Recogniser
    people: tuple[str, ...]

    def rank_of(self, images: Tensor, people: list[str]) -> Tensor:
        """Rank (B,) int64, 0 the best, that each image (B, 1, H, W) gives to the person it is meant to show; behind
        everybody where the judge does not accept that person."""
        scores = self.recogniser.scores(images)
        wanted = torch.tensor([self.people.index(person) for person in people], device=scores.device)
        own = scores.gather(1, wanted.unsqueeze(1))
        return (scores > own).sum(1).masked_fill(own.isnan().squeeze(1), len(self.people)).cpu()


@dataclass(frozen=True)
class Laboratory:
    """Everything of a protocol but the attack and the defense."""

    protocol: Protocol
    engine: Engine
    on_work: OnWork = lambda what, step, steps: None
    evaluators: tuple[Evaluator, ...] | None = None
    """The judges; where None, the protocol's own from the installed plugins."""
    _made: dict[tuple[object, ...], object] = field(default_factory=dict, repr=False)

    def split(self, fold: str) -> splits.Split:
        """The photos of one fold."""
        return self._once(("split", fold), lambda: splits.make(self.protocol, fold))

    def generator(self, fold: str, name: str) -> Generator:
        """One of the protocol's generators, the attacker's D, trained on Q1."""
        recipe = self.protocol.generators[name]
        return self._once(
            ("generator", fold, name), lambda: generators.ready(self._trained(name, fold), recipe, self.engine)
        )

    def target(self, fold: str, target: Target) -> Recogniser:
        """R_tar as a target plugin makes it."""
        enrolment = Enrolment(
            fold,
            self.split(fold).q2,
            self.engine,
            network=lambda: self._network("target", fold),
            trained=lambda: self._trained("target", fold),
        )
        return self._once(("target", fold, target.spec), lambda: target.enrol(enrolment))

    def codes(self, fold: str, generator: str) -> Tensor:
        """Q1's photos as latents (n, m)."""
        return self._once(
            ("codes", fold, generator), lambda: self.generator(fold, generator).encode(self.split(fold).q1.images)
        )

    def evaluator(self, fold: str) -> Judge:
        """The headline's judge, R_eval."""
        return self.judges(fold)[HEADLINE]

    def judges(self, fold: str) -> dict[str, Judge]:
        """Every judge by its spec, fitted on Q3 alone; without those that are missing something (``left_out``)."""
        return {evaluator.spec: self._judge(evaluator, fold) for evaluator in self.evaluators_present}

    @property
    def evaluators_present(self) -> tuple[Evaluator, ...]:
        """The judges that can judge here."""
        return tuple(evaluator for evaluator in self._evaluators if not evaluator.missing())

    @property
    def left_out(self) -> dict[str, str]:
        """Why each judge that cannot judge here cannot, by its spec."""
        return {evaluator.spec: reason for evaluator in self._evaluators if (reason := evaluator.missing())}

    @property
    def _evaluators(self) -> tuple[Evaluator, ...]:
        if self.evaluators is not None:
            return self.evaluators
        return self._once(("evaluators",), lambda: evaluators_of(self.protocol, Registry()))

    @property
    def _networks(self) -> dict[str, NetworkEvaluator]:
        """The judges that have a network of their own, by its role: their spec."""
        return {found.spec: found for found in self.evaluators_present if isinstance(found, NetworkEvaluator)}

    @property
    def roles(self) -> tuple[str, ...]:
        """All networks of a fold: the protocol's and the judges' own."""
        return (*self.protocol.roles, *self._networks)

    def _judge(self, evaluator: Evaluator, fold: str) -> Judge:
        return self._once(("judge", fold, evaluator.spec), lambda: self._fit(evaluator, fold))

    def _fit(self, evaluator: Evaluator, fold: str) -> Judge:
        role = evaluator.spec if isinstance(evaluator, NetworkEvaluator) else "evaluator"
        photos, seed = self.split(fold).q3, self._seed(evaluator.spec, fold)
        fitting = Fitting(fold, photos, self.engine, seed, trained=lambda: self._trained(role, fold))
        return Judge(evaluator.fit(fitting), photos.people)

    def null_target(self, fold: str) -> Recogniser:
        """R_tar retrained with other people in its targets' places (``data.null``)."""
        return self._once(("null target", fold), lambda: ModuleRecogniser(self._trained("null", fold), self.engine))

    def trials(self, fold: str, generator: str, identities: tuple[str, ...], each: int, seed: int) -> Trials:
        """``each`` trials of every identity. What a trial draws depends on (seed, fold, identity, trial) alone."""
        split, device = self.split(fold), self.engine.device
        encodings = self.codes(fold, generator)
        named = [(identity, trial) for identity in identities for trial in range(each)]
        z0 = []
        for identity, trial in named:
            draw = rng(seed, fold, identity, trial, "z0")
            chosen = torch.randperm(len(encodings), generator=draw)[: self.protocol.run.seed_photos]
            z0.append(encodings[chosen.to(device)].mean(0))
        return Trials(
            labels=split.q2.labels_of(identities).repeat_interleave(each).to(device),
            z0=torch.stack(z0),
            public=split.q1,
            replicate=torch.tensor([trial for _, trial in named]),
            streams=Streams([derive(seed, fold, identity, trial, "attack") for identity, trial in named], device),
        )

    def figures(self, fold: str) -> dict[str, float]:
        """What the fold's own networks measure on real photos (``Protocol.figures``)."""
        split = self.split(fold)
        target, judges = ModuleRecogniser(self._trained("target", fold), self.engine), self.judges(fold)
        found = {
            "target_top1": accuracy(Judge(target, split.q2.people), split.q2_test),
            "evaluator_top1": accuracy(judges[HEADLINE], split.q3_test),
            "null_top1": accuracy(Judge(self.null_target(fold), split.q2.people), self._null(fold)[1]),
            **{f"{name}_top1": accuracy(judges[name], split.q3_test) for name in self._networks},
        }
        for name in self.protocol.generators:
            generator, photos = self.generator(fold, name), split.q1.images.to(self.engine.device)
            with torch.inference_mode():
                error = (generator.decode(generator.encode(photos)) - photos).square().mean().sqrt()
            found[f"{name}_rmse"] = round(float(error), 4)
        return found

    def retrained(self) -> "Laboratory":
        """The same laboratory with every network trained anew, whatever is pinned or cached."""
        fresh = replace(self, _made={})
        for fold in self.protocol.split.folds:
            for role in self.roles:
                fresh._made["network", role, fold] = self.train(role, fold)
        return fresh

    def export(self, folder: Path) -> str:
        """Write every network's weights into a folder; return the [pinned] tables that publish them."""
        lines = ["[pinned]", f'path = "{folder.name}"  # relative to the protocol file', "", "[pinned.tolerance]"]
        figures = self.protocol.figures(tuple(self._networks))
        lines += [f"{_key(name)} = {0.04 if name.endswith('top1') else 0.005}" for name in figures]
        for fold in self.protocol.split.folds:
            lines += ["", f"[pinned.sha256.{fold}]"]
            for role in self.roles:
                content = store.dump(self._trained(role, fold))
                write_atomic(folder / weights_name(fold, role), content)
                lines.append(f'{_key(role)} = "{hashlib.sha256(content).hexdigest()}"')
            lines += ["", f"[pinned.recipe.{fold}]"]
            lines += [f'{_key(role)} = "{self.recipe_sha256(role, fold)}"' for role in self.roles]
            lines += [
                "",
                f"[pinned.figures.{fold}]",
                *(f"{_key(name)} = {value}" for name, value in self.figures(fold).items()),
            ]
        return "\n".join(lines) + "\n"

    def train(self, role: str, fold: str) -> nn.Module:
        """A role's network trained now by its recipe, whatever is pinned or cached."""

        def progress(step: int, steps: int) -> None:
            self.on_work(f"training {role} {fold}", step, steps)

        photos, seed, device = self._photos(role, fold), self._seed(role, fold), self.engine.device
        if role in self.protocol.generators:
            return generators.train(photos, self.protocol.generators[role], seed, device, progress).cpu()
        if role in self._networks:
            with training.seeded(seed):
                network = self._networks[role].network(photos)
                self._networks[role].train(network, photos, device, progress)
            return network.cpu()
        return training.train_recogniser(photos, self._recogniser(role), seed, device, progress).cpu()

    def _trained(self, role: str, fold: str) -> nn.Module:
        return self._once(("network", role, fold), lambda: self._obtain(role, fold))

    def _obtain(self, role: str, fold: str) -> nn.Module:
        """Pinned weights, else cached ones, else trained now and cached."""
        pinned = self.protocol.pinned
        net = self._network(role, fold)
        if pinned is not None and role in pinned.sha256[fold]:
            if pinned.recipe[fold][role] != self.recipe_sha256(role, fold):
                raise RequestError(
                    f"protocol {self.protocol.name}: [pinned] {fold}-{role} was trained with another recipe, seed or "
                    "photos; remove [pinned], or pin anew with 'mia-bench train --export'"
                )
            file = Path(pinned.path) / weights_name(fold, role)
            return store.read_pinned(net, file, pinned.sha256[fold][role])
        return store.cached(net, self.recipe_sha256(role, fold), lambda: self.train(role, fold))

    def _network(self, role: str, fold: str) -> nn.Module:
        image = self.protocol.data.image
        if role in self.protocol.generators:
            return generators.untrained(self.protocol.generators[role], image)
        photos = self._photos(role, fold)
        if role in self._networks:
            return self._networks[role].network(photos)
        return training.recogniser(image, photos.classes, self._recogniser(role))

    def _recogniser(self, role: str) -> RecogniserRecipe:
        return self.protocol.evaluator if role == "evaluator" else self.protocol.target

    def _photos(self, role: str, fold: str) -> Photos:
        split = self.split(fold)
        if role == "null":
            return self._null(fold)[0]
        if role == "target":
            return split.q2
        return split.q1 if role in self.protocol.generators else split.q3

    def _null(self, fold: str) -> tuple[Photos, Photos]:
        return self._once(("null photos", fold), lambda: null.photos(self.split(fold)))

    def _seed(self, role: str, fold: str) -> int:
        part = "generator" if role in self.protocol.generators else role  # whatever it is called
        return derive(self.protocol.split.seed, "model", part, fold)

    def recipe_sha256(self, role: str, fold: str) -> str:
        """SHA-256 of all that decides a training: recipe, seed, and photos as the network sees them.

        What ``models/`` fixes in code is covered by ``format``: raise it when that changes.
        """
        photos = self._photos(role, fold)
        content = {
            "format": 2,
            "recipe": self._recipe(role),
            "seed": self._seed(role, fold),
            "data": self.protocol.data.model_dump(mode="json", exclude={"path", "sha256", "reader"}),
            "photos": photos.hashes,
            "labels": photos.labels.tolist(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _recipe(self, role: str) -> dict[str, Any]:
        if role in self._networks:
            return {"version": self._networks[role].version, **self._networks[role].parameters}
        return self.protocol.recipe(role).model_dump(mode="json")

    def _once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]  # type: ignore[return-value]


def weights_name(fold: str, role: str) -> str:
    """The file of one pinned network."""
    return re.sub(r"[^\w.-]", "-", f"{fold}-{role}.safetensors")


def _key(name: str) -> str:
    """As a key of TOML."""
    return name if re.fullmatch(r"[\w-]+", name) else json.dumps(name)


def evaluators_of(protocol: Protocol, registry: Registry) -> tuple[Evaluator, ...]:
    """The judges that a protocol names."""
    return tuple(registry.evaluator(spec) for spec in protocol.run.evaluators)


def accuracy(judge: Judge, photos: Photos) -> float:
    """Share of real photos whose person is put first, averaged within a person first."""
    return round(mean_of_people(judge.rank_of(photos.images, photos.names) == 0, photos), 4)


def mean_of_people(hit: Tensor, photos: Photos) -> float:
    """Share of hits (n,) bool among photos, averaged within a person first: who has 500 photos counts once."""
    labels, hit = photos.labels, hit.cpu().float()
    return round(float(torch.stack([hit[labels == label].mean() for label in torch.unique(labels)]).mean()), 6)
