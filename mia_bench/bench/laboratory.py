"""A protocol made real: its splits, networks, evaluators and trials, each built once and only when asked for."""

import copy
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..files import write_atomic
from ..networks import generators, store, training
from ..networks.gallery import GalleryNet, enrolled
from ..networks.lesson import Lesson, Role, recipe_of
from ..plugin.attack import Trials
from ..plugin.defense import TrainedDefense
from ..plugin.engine import Engine
from ..plugin.errors import ComponentError, RequestError, told
from ..plugin.evaluator import Evaluator, NetworkEvaluator
from ..plugin.fitting import Fitting
from ..plugin.generator import Generator
from ..plugin.headline import HEADLINE
from ..plugin.photos import Photos
from ..plugin.seeds import Streams, derive, rng
from ..plugin.target import ModuleRecogniser, Recogniser, Target
from ..protocol import null
from ..protocol import split as splits
from ..protocol.model import GalleryRecipe, Protocol, RecogniserRecipe
from .registry import Registry

T = TypeVar("T")

OnWork = Callable[[str, int, int], None]
"""Called with (what is being done, steps done, steps in all)."""


@dataclass(frozen=True)
class Fitted:
    """A recogniser with its people: an evaluator fitted on a fold, or a target asked what an evaluator is asked."""

    recogniser: Recogniser
    people: tuple[str, ...]
    name: str = "the recogniser"

    def rank_of(self, images: Tensor, people: list[str]) -> Tensor:
        """Rank (B,) int64, 0 the best, that each image (B, 1, H, W) gives to the person it is meant to show; behind
        everybody where the recogniser does not accept that person."""
        scores = answer_of(self.name, lambda: self.recogniser.scores(images))
        if not isinstance(scores, Tensor) or scores.shape != (len(images), len(self.people)):
            said = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
            raise ComponentError(f"{self.name} answered {said}, expected ({len(images)}, {len(self.people)})")
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
    """Who judges; where None, the protocol's own from the installed plugins."""
    _made: dict[tuple[object, ...], object] = field(default_factory=dict, repr=False)

    def split(self, fold: str) -> splits.Split:
        """The photos of one fold, Q1 drawn from the default generator if the protocol says so."""

        def make() -> splits.Split:
            read, count = self._read(fold), self.protocol.split.q1_drawn
            return replace(read, q1=self._drawn(fold, count)) if count else read

        return self._once(("split", fold), make)

    def _read(self, fold: str) -> splits.Split:
        """The photos that there are."""
        return self._once(("photos", fold), lambda: splits.make(self.protocol, fold))

    def _drawn(self, fold: str, count: int) -> Photos:
        """Faces of nobody as Q1: the public photos that the generator was made from are not at hand."""
        generator = self.generator(fold, self.protocol.run.generator)
        draw = rng(self.protocol.split.seed, "q1", fold)
        with torch.inference_mode():
            images = generator.decode(torch.randn(count, generator.latent, generator=draw).to(self.engine.device))
        hashes = tuple(hashlib.sha256(image.cpu().numpy().tobytes()).hexdigest() for image in images)
        return Photos(images.cpu().clone(), torch.zeros(count, dtype=torch.int64), ("(drawn)",), hashes)

    def generator(self, fold: str, name: str) -> Generator:
        """One of the protocol's generators, the attacker's D, trained on Q1."""
        recipe = self.protocol.generators[name]
        return self._once(
            ("generator", fold, name),
            lambda: generators.ready(self.trained(Role(name), fold), recipe, self.engine),
        )

    def target(self, fold: str, target: Target, by: TrainedDefense | None = None) -> Recogniser:
        """R_tar as a target plugin makes it, with nothing remembered; its network trained by a defense, if one does."""
        return target.renewed().enrol(self.fitting(Role("target", by), fold))

    def null_target(self, fold: str, by: TrainedDefense | None = None) -> ModuleRecogniser:
        """R_tar retrained with other people in its targets' places (``protocol.null``), by a defense, if one does."""
        role = Role("null", by)
        return self._once(
            ("null target", fold, role.key), lambda: ModuleRecogniser(self.trained(role, fold), self.engine)
        )

    def codes(self, fold: str, generator: str) -> Tensor:
        """Q1's photos as latents (n, m)."""
        return self._once(
            ("codes", fold, generator), lambda: self.generator(fold, generator).encode(self.split(fold).q1.images)
        )

    def evaluator(self, fold: str) -> Fitted:
        """The headline's evaluator, R_eval."""
        return self.fitted(fold)[HEADLINE]

    def fitted(self, fold: str) -> dict[str, Fitted]:
        """Every evaluator by its spec, fitted on Q3; without those that are missing something (``left_out``)."""
        return {evaluator.spec: self.fit(evaluator, fold) for evaluator in self.evaluators_present}

    @property
    def evaluators_present(self) -> tuple[Evaluator, ...]:
        """Those that can judge here."""
        return tuple(evaluator for evaluator in self._evaluators if not evaluator.missing())

    @property
    def left_out(self) -> dict[str, str]:
        """Why each evaluator that cannot judge here cannot, by its spec."""
        return {evaluator.spec: reason for evaluator in self._evaluators if (reason := evaluator.missing())}

    @property
    def _evaluators(self) -> tuple[Evaluator, ...]:
        if self.evaluators is not None:
            return self.evaluators
        return self._once(("evaluators",), lambda: evaluators_of(self.protocol, Registry()))

    @property
    def roles(self) -> tuple[Role, ...]:
        """All networks of a fold: the protocol's and the evaluators' own."""
        own = (Role("evaluator", found) for found in self.evaluators_present if isinstance(found, NetworkEvaluator))
        return (*map(Role, self.protocol.roles), *own)

    def fit(self, evaluator: Evaluator, fold: str) -> Fitted:
        """One evaluator, fitted on Q3 alone."""
        by = evaluator if isinstance(evaluator, NetworkEvaluator) else None

        def make() -> Fitted:
            fitting = replace(self.fitting(Role("evaluator", by), fold), seed=self._seed(evaluator.spec, fold))
            name = f"evaluator {evaluator.spec}"
            fitted = answer_of(name, lambda: evaluator.renewed().fit(fitting))
            if not isinstance(fitted, Recogniser):
                raise ComponentError(f"{name} gave {type(fitted).__name__}, not a Recogniser")
            return Fitted(fitted, fitting.photos.people, name)

        return self._once(("evaluator", fold, evaluator.spec, evaluator.source_sha256), make)

    def fitting(self, role: Role, fold: str) -> Fitting:
        """What whoever plays a role gets to learn from; photos in memory of its own."""
        photos, base = self._photos(role, fold), Role(role.name)

        def progress(step: int, steps: int) -> None:
            self.on_work(f"training {role.key} {fold}", step, steps)

        return Fitting(
            fold,
            photos.copied(),
            (self._read(fold) if role.name in self.protocol.generators else self.split(fold)).q1.copied(),
            self.engine,
            self._seed(role.key if isinstance(role.by, Evaluator) else role.name, fold),
            network=lambda: self._network(base, fold),
            trained=lambda: copy.deepcopy(self.trained(role, fold)),  # theirs to change
            fit=lambda net, loss: training.fit(
                net, loss, photos, self._recogniser(role.name), self.engine.device, progress
            ),
            progress=progress,
        )

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
        split, fitted = self.split(fold), self.fitted(fold)
        target = ModuleRecogniser(self.trained(Role("target"), fold), self.engine)
        found = {
            "target_top1": accuracy(Fitted(target, split.q2.people), split.q2_test),
            "evaluator_top1": accuracy(fitted[HEADLINE], split.q3_test),
            "null_top1": accuracy(Fitted(self.null_target(fold), split.q2.people), self._null(fold)[1]),
            **{f"{r.key}_top1": accuracy(fitted[r.key], split.q3_test) for r in self.roles if r.by is not None},
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
                fresh._made["network", role, fold] = fresh.lesson(role, fold).train()
        return fresh

    def export(self, folder: Path) -> str:
        """Write every network's weights into a folder; return the [pinned] tables that publish them."""
        lines = ["[pinned]", f'path = "{folder.name}"  # relative to the protocol file', "", "[pinned.tolerance]"]
        figures = self.protocol.figures([role.key for role in self.roles if role.by is not None])
        lines += [f"{_key(name)} = {0.04 if name.endswith('top1') else 0.005}" for name in figures]
        for fold in self.protocol.split.folds:
            lessons = [self.lesson(role, fold) for role in self.roles]
            lines += ["", f"[pinned.sha256.{fold}]"]
            for lesson in lessons:
                content = store.dump(self.trained(lesson.role, fold))
                write_atomic(folder / lesson.file, content)
                lines.append(f'{_key(lesson.role.key)} = "{hashlib.sha256(content).hexdigest()}"')
            lines += ["", f"[pinned.recipe.{fold}]"]
            lines += [f'{_key(lesson.role.key)} = "{lesson.sha256}"' for lesson in lessons]
            lines += [
                "",
                f"[pinned.figures.{fold}]",
                *(f"{_key(name)} = {value}" for name, value in self.figures(fold).items()),
            ]
        return "\n".join(lines) + "\n"

    def trained(self, role: Role, fold: str) -> nn.Module:
        """A role's network: pinned, cached, or trained now."""
        return self._once(
            ("network", role, fold), lambda: self.lesson(role, fold).obtain(self.protocol.pinned, self.protocol.name)
        )

    def lesson(self, role: Role, fold: str) -> Lesson:
        """What a role's network learns, and how."""
        fitting = self.fitting(role, fold)
        recipe = self.protocol.recipe(role.name).model_dump(mode="json")
        return Lesson(
            role,
            fold,
            recipe_of(role.by, recipe) if role.by else recipe,
            fitting.seed,
            self.protocol.data.model_dump(mode="json", exclude={"path", "sha256", "reader"}),
            self._photos(role, fold),
            network=lambda: self._network(role, fold),
            train=partial(self._train, role, fold, fitting),
            quick=role.by is None and getattr(self.protocol.recipe(role.name), "weights", None) is not None,
        )

    def _train(self, role: Role, fold: str, fitting: Fitting) -> nn.Module:
        device = self.engine.device
        if role.by is not None:
            base = self._base(role, fold, fitting)
            with training.seeded(fitting.seed):
                network = role.by.network(base)
                role.by.train(network, base)
            return network.eval().cpu()
        if role.name in self.protocol.generators:
            recipe = self.protocol.generators[role.name]
            return generators.train(fitting.photos, recipe, fitting.seed, device, fitting.progress).cpu()
        gallery = self._gallery(role.name)
        if gallery is not None:
            return enrolled(gallery, fitting.photos)
        own = self._recogniser(role.name)
        return training.train_recogniser(fitting.photos, own, fitting.seed, device, fitting.progress).cpu()

    def _base(self, role: Role, fold: str, fitting: Fitting) -> Fitting:
        """For who trains: ``trained`` is the protocol's own network, not the one that is about to be."""
        return replace(fitting, trained=lambda: copy.deepcopy(self.trained(Role(role.name), fold)))

    def _network(self, role: Role, fold: str) -> nn.Module:
        image = self.protocol.data.image
        if role.by is not None:
            return role.by.network(self._base(role, fold, self.fitting(role, fold)))
        if role.name in self.protocol.generators:
            return generators.untrained(self.protocol.generators[role.name], image)
        gallery = self._gallery(role.name)
        if gallery is not None:
            return GalleryNet(gallery, self._photos(role, fold).classes)
        return training.recogniser(image, self._photos(role, fold).classes, self._recogniser(role.name))

    def _gallery(self, name: str) -> GalleryRecipe | None:
        recipe = self.protocol.recipe(name)
        return recipe if isinstance(recipe, GalleryRecipe) else None

    def _recogniser(self, name: str) -> RecogniserRecipe:
        recipe = self.protocol.recipe(name)
        if not isinstance(recipe, RecogniserRecipe):
            raise ComponentError(
                f"protocol {self.protocol.name} brings its {name}'s network: there is no recipe to train"
            )
        return recipe

    def _photos(self, role: Role, fold: str) -> Photos:
        if role.name in self.protocol.generators:
            return self._read(fold).q1
        split = self.split(fold)
        if role.name == "null":
            return self._null(fold)[0]
        if role.name == "target":
            return split.q2
        return split.q3

    def _null(self, fold: str) -> tuple[Photos, Photos]:
        return self._once(("null photos", fold), lambda: null.photos(self.split(fold)))

    def _seed(self, part: str, fold: str) -> int:
        if part in self.protocol.generators:
            part = "generator"  # whatever it is called
        return derive(self.protocol.split.seed, "model", part, fold)

    def _once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]  # type: ignore[return-value]


def answer_of(name: str, call: Callable[[], T]) -> T:
    """The call's answer; whatever it raises, or ends, names who did."""
    try:
        return call()
    except (ComponentError, RequestError, KeyboardInterrupt):
        raise
    except BaseException as error:  # somebody else's code may fail, or try to end things, in any way
        raise ComponentError(f"{name} raised {told(error)}") from error


def _key(name: str) -> str:
    """As a key of TOML."""
    return name if re.fullmatch(r"[\w-]+", name) else json.dumps(name)


def evaluators_of(protocol: Protocol, registry: Registry) -> tuple[Evaluator, ...]:
    """Those that a protocol names."""
    return tuple(registry.evaluator(spec) for spec in protocol.run.evaluators)


def accuracy(fitted: Fitted, photos: Photos) -> float:
    """Share of real photos whose person is put first, averaged within a person first."""
    return round(mean_of_people(fitted.rank_of(photos.images, photos.names) == 0, photos), 4)


def mean_of_people(hit: Tensor, photos: Photos) -> float:
    """Share of hits (n,) bool among photos, averaged within a person first: who has 500 photos counts once."""
    labels, hit = photos.labels, hit.cpu().float()
    return round(float(torch.stack([hit[labels == label].mean() for label in torch.unique(labels)]).mean()), 6)
