"""Protocols: frozen, versioned experiments as validated TOML."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from ..plugin.errors import RequestError
from ..plugin.headline import HEADLINE
from . import toml
from .toml import Section

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
RECOGNISERS = ("target", "evaluator", "null")
"""The roles of a fold's recognisers (``null`` is R_tar with other people in its targets' places, for a control); each
generator is a role of its own, under its name."""
Widths = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=6)]


class Data(Section):
    """Where the photos come from and how they become images."""

    reader: Literal["orl", "folder"]
    path: str | None = None
    """For ``folder``: one folder a person; relative to the protocol file. Where it is left out, whoever runs the
    protocol says where the photos are."""
    image: tuple[Positive, Positive]
    """Height and width in pixels; grey."""
    crop: tuple[int, int, Positive, Positive] | None = None
    """Left, top, right, bottom box cut out first, in pixels of the original; where it leaves the photo to the left or
    above, or to the right or below by as much, the photo's edge is repeated."""
    sha256: Sha256 | None = None
    """Of all the photos (``Index.sha256``); where given, other photos are refused."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.path is not None and self.reader != "folder":
            raise ValueError('path goes with reader = "folder" only')
        if self.crop and (self.crop[0] >= self.crop[2] or self.crop[1] >= self.crop[3]):
            raise ValueError("crop is [left, top, right, bottom] with left < right and top < bottom")
        return self


class Split(Section):
    """Who is attacked, who is public, and which photos train what (the paper's Q1, Q2, Q3)."""

    seed: int
    folds: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9]+$")], ...], Field(min_length=1)]
    targets: Annotated[int, Field(ge=2)]
    """Identities under attack in each fold: enrolled in R_tar and known to R_eval."""
    min_photos: Annotated[int, Field(ge=2)]
    """A person needs this many photos to be enrolled."""
    min_target_photos: Annotated[int, Field(ge=2)] | None = None
    """A person needs this many to be a target; where not given, ``min_photos``."""
    q1_people: Count = 0
    """People in Q1, the attacker's; 0 is everyone not enrolled."""
    q1_photos: Positive
    """At most so many photos of each."""
    q1_drawn: Annotated[Count, Field(exclude_if=lambda drawn: drawn == 0)] = 0
    """If not 0, Q1 is so many faces drawn from the default generator instead: for protocols whose generator was made
    from photos that they do not bring. Left out of dumps where it is 0, like ``Augmentation.blur``."""
    q2_photos: Positive
    """At most so many photos of an enrolled person train R_tar: at most half of a target's, 4/5 of another's."""
    q2_others: Count = 0
    """Further people in R_tar only."""
    q3_photos: Positive
    """At most so many photos of an enrolled person train R_eval: at most half of a target's, 4/5 of another's."""
    q3_others: Count = 0
    """Further people in R_eval only."""
    test_photos: Count = 0
    """At most so many unseen photos of each test R_tar, and R_eval; 0 is all there are."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.min_target_photos is not None and self.min_target_photos < self.min_photos:
            raise ValueError("min_target_photos is less than min_photos, which every enrolled person needs")
        if len(set(self.folds)) != len(self.folds):
            raise ValueError("folds names a fold twice")
        return self

    @property
    def target_classes(self) -> int:
        """How many classes R_tar has."""
        return self.targets + self.q2_others


class Augmentation(Section):
    """Random changes to each training image, uniform in +/- the given amount."""

    rotate: float = 0.0
    """Radians."""
    scale: Fraction = 0.0
    shift: Fraction = 0.0
    """Share of the image's size."""
    contrast: Fraction = 0.0
    """Of the contrast; brightness moves by half of it."""
    flip: bool = True
    """Mirror every second image."""
    blur: Annotated[Fraction, Field(exclude_if=lambda blur: blur == 0.0)] = 0.0
    """Most of a Gaussian blur's standard deviation, uniform from 0, as a share of the image's height. Left out of dumps
    where it is 0: what was hashed before there was a blur keeps its hash."""


class Given(Section):
    """Weights that a protocol brings ready made."""

    path: Annotated[str, Field(exclude=True)]
    """safetensors, float16 or 32; relative to the protocol file. What they are is part of a protocol, not where."""
    sha256: Sha256


class Recipe(Section):
    """How a network is trained. All but a GAN's D and critic: AdamW, one-cycle learning rate."""

    widths: Widths
    """Channels after each halving."""
    steps: Positive
    batch: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    augment: Augmentation = Augmentation()

    @property
    def halvings(self) -> int:
        """How often it halves an image."""
        return len(self.widths)


class VAERecipe(Recipe):
    """The attacker's D as the decoder of a VAE trained on Q1, as in the paper."""

    has_critic: ClassVar[bool] = False

    kind: Literal["vae"]
    latent: Positive
    """m."""
    beta: Annotated[float, Field(gt=0)]
    """Weight of the KL term against the summed squared error of the pixels."""


class GANRecipe(Recipe):
    """The attacker's D as the generator of a GAN trained on Q1 (Adam, constant rates); an encoder is fitted to it
    afterwards, which alone knows weight decay."""

    has_critic: ClassVar[bool] = True

    kind: Literal["gan"]
    latent: Positive
    """m."""
    critic_learning_rate: Annotated[float, Field(gt=0)]
    """Of the critic; well above the generator's own, or the samples collapse."""
    penalty: Annotated[float, Field(ge=0)]
    """Weight of R1, the squared slope of the critic at real photos."""
    encoder_steps: Positive
    """How long the encoder is trained once D is."""
    encoder_learning_rate: Annotated[float, Field(gt=0)]
    average: Annotated[float, Field(ge=0, lt=1)]
    """D is the moving average of the trained generator's weights, with this decay a step."""


class EigenfaceRecipe(Section):
    """The plain prior: the principal components of public photos, the latent scaled to variance one."""

    has_critic: ClassVar[bool] = False
    halvings: ClassVar[int] = 0

    kind: Literal["eigenface"]
    latent: Positive
    """m, how many components."""
    surroundings: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Weight of a pixel outside the inner face: 1 is plain eigenfaces; below it, fewer numbers go to background and
    hair."""
    weights: Given | None = None
    """Components made elsewhere, the first ``latent`` of which are taken; where not given, Q1's photos make them."""


GeneratorRecipe = Annotated[VAERecipe | GANRecipe | EigenfaceRecipe, Field(discriminator="kind")]


class RecogniserRecipe(Recipe):
    """R_tar or R_eval: the same trunk, their own last two layers."""

    hidden: Positive
    """Units of the last layer but one."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    mirror: Annotated[bool, Field(exclude_if=lambda mirror: not mirror)] = False
    """Once trained, answer for an image and its mirror image together; left out of dumps like ``Augmentation.blur``."""


class GalleryRecipe(Section):
    """A recogniser as services run it: a face embedder made elsewhere, and a template of each enrolled person, the mean
    of their photos. Nobody is trained on."""

    halvings: ClassVar[int] = 4

    kind: Literal["gallery"]
    architecture: Literal["residual", "plain"]
    """Of the embedder (``networks/gallery.py``)."""
    weights: Given
    scale: Annotated[float, Field(gt=0)]
    """Scores are the softmax of the cosines to all templates times this."""


def _kind(recipe: Any) -> str:
    kind = recipe.get("kind", "classifier") if isinstance(recipe, dict) else getattr(recipe, "kind", "classifier")
    return str(kind)


AnyRecogniser = Annotated[
    Annotated[RecogniserRecipe, Tag("classifier")] | Annotated[GalleryRecipe, Tag("gallery")], Discriminator(_kind)
]
"""Trained on the enrolled people unless it says ``kind = "gallery"``."""


class Defaults(Section):
    """What ``run`` does unless told otherwise."""

    target: str = "paper"
    generator: str = "vae"
    """Which of the protocol's generators the attacks use."""
    attacks: Annotated[tuple[str, ...], Field(min_length=1)] = ("wb", "bb")
    evaluators: Annotated[tuple[str, ...], Field(min_length=1)] = ("reval", "cnn", "lda", "hog")
    """Who judges; ``reval`` must be among them."""
    null_attack: str = "wb"
    """A cheap attack, for the null control."""
    trials: Positive
    """Per identity."""
    seed_photos: Positive
    """Q1 photos whose mean encoding is a trial's seed z0 (section V-A: 16)."""
    budget: Positive
    """Queries per trial."""
    seed: Annotated[int, Field(ge=0)] = 0


class Pinned(Section):
    """A published set of trained weights: its files' hashes and the figures they measure, by fold."""

    path: str
    """Folder of FOLD-ROLE.safetensors; relative to the protocol file."""
    sha256: dict[str, dict[str, Sha256]]
    """By fold and role; besides the protocol's own roles, evaluators with a network may be pinned under their name."""
    recipe: dict[str, dict[str, Sha256]]
    """Hash of the recipe, seed and photos each was trained with (``Lesson.sha256``): weights from another
    split may have seen the photos that this one tests on."""
    figures: dict[str, dict[str, float]]
    tolerance: dict[str, Annotated[float, Field(ge=0)]]
    """How far each of a retraining's figures may be from these and still reproduce them."""


class Protocol(Section):
    """One experiment. Two protocols with the same ``sha256`` are the same experiment."""

    schema_: Annotated[Literal[2], Field(alias="schema")]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
    version: Positive
    about: str = ""
    data: Data
    split: Split
    generators: Annotated[
        dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")], GeneratorRecipe], Field(min_length=1)
    ]
    target: AnyRecogniser
    evaluator: AnyRecogniser
    run: Defaults
    pinned: Pinned | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if clash := set(self.generators) & set(RECOGNISERS):
            raise ValueError(f"generators: {clash.pop()!r} names a recogniser; call it something else")
        if self.run.generator not in self.generators:
            raise ValueError(f"run.generator {self.run.generator!r} is not one of {', '.join(self.generators)}")
        for role in self.roles:
            halvings = self.recipe(role).halvings
            halved = 2**halvings
            if any(side % halved for side in self.data.image):
                raise ValueError(
                    f"{role}'s widths halve the image {halvings} times, so data.image needs sides divisible by {halved}"
                )
        if HEADLINE not in self.run.evaluators:
            raise ValueError(f"run.evaluators needs {HEADLINE!r}, the headline's evaluator, among them")
        if self.pinned:
            roles, figures = set(self.roles), set(self.figures())
            for fold in self.split.folds:
                made, recipe = set(self.pinned.sha256.get(fold, {})), set(self.pinned.recipe.get(fold, {}))
                measured = set(self.pinned.figures.get(fold, {}))
                if made != recipe or not roles <= made or not figures <= measured <= set(self.pinned.tolerance):
                    raise ValueError(
                        f"pinned needs sha256.{fold} and recipe.{fold} for {sorted(roles)}, "
                        f"figures.{fold} and tolerance for {sorted(figures)}; pin anew with 'mia-bench train --export'"
                    )
        return self

    @property
    def roles(self) -> tuple[str, ...]:
        """The networks of a fold: each generator by its name, ``target``, ``evaluator``, ``null``."""
        return (*self.generators, *RECOGNISERS)

    def figures(self, evaluators: Sequence[str] = ()) -> tuple[str, ...]:
        """What a fold's networks measure: each recogniser's accuracy on unseen real photos, with these evaluators',
        which have networks of their own; each generator's root mean squared pixel error of D(E(x)) on Q1."""
        return (
            *(f"{name}_top1" for name in (*RECOGNISERS, *evaluators)),
            *(f"{name}_rmse" for name in self.generators),
        )

    def recipe(self, role: str) -> Recipe | EigenfaceRecipe | GalleryRecipe:
        """How a role's network is trained."""
        return self.generators.get(role) or (self.evaluator if role == "evaluator" else self.target)

    @property
    def data_variable(self) -> str:
        """The environment variable that says where the photos are."""
        return "MIA_BENCH_" + self.name.upper().replace("-", "_")

    @property
    def sha256(self) -> str:
        """SHA-256 of what it says, whatever the file's layout; the place of the photos is no part of it."""
        text = self.model_dump_json(by_alias=True, exclude={"about": True, "data": {"path"}, "pinned": {"path"}})
        return hashlib.sha256(text.encode()).hexdigest()

    def experiment_sha256(self, generator: str) -> str:
        """SHA-256 of what of it decides an attempt with one of its generators: neither who judges nor the defaults of
        ``run``, which a request states itself, but for how a seed z0 is drawn."""
        content = {
            "data": self.data.model_dump(mode="json", exclude={"path"}),
            "split": self.split.model_dump(mode="json"),
            "generator": self.generators[generator].model_dump(mode="json"),
            "target": self.target.model_dump(mode="json"),
            "seed_photos": self.run.seed_photos,
            "weights": [
                [fold, self.pinned.sha256[fold][role]] for fold in self.split.folds for role in (generator, "target")
            ]
            if self.pinned
            else [],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


BUILT_IN = Path(__file__).parent / "protocols"


def built_in() -> list[str]:
    """The names of the protocols that come with the package."""
    return toml.names_in(BUILT_IN)


def load(name_or_path: str, data: Path | None = None) -> Protocol:
    """A built-in protocol by name, or a user's own TOML file; RequestError names the file and the key.

    ``data`` is the folder of its photos; without it the protocol's environment variable says, then its file.
    """
    path = toml.find("protocol", name_or_path, BUILT_IN)

    def current(content: dict[str, Any]) -> None:
        if content.get("schema") == 1:
            raise RequestError(
                f"protocol {path} has schema 1; write schema = 2 and [generators.vae] for [generator]: a protocol may "
                "now have several generators"
            )

    protocol = toml.read("protocol", path, Protocol, current)
    return _with_absolute_paths(protocol, path.parent, data)


def _with_absolute_paths(protocol: Protocol, folder: Path, data: Path | None) -> Protocol:
    changed: dict[str, Any] = {name: _placed(getattr(protocol, name), folder) for name in ("target", "evaluator")}
    changed["generators"] = {name: _placed(recipe, folder) for name, recipe in protocol.generators.items()}
    if protocol.data.reader == "folder":
        given = data or os.environ.get(protocol.data_variable) or None
        place = Path(given).absolute() if given else folder / protocol.data.path if protocol.data.path else None
        changed["data"] = protocol.data.model_copy(update={"path": str(place.resolve()) if place else None})
    elif data is not None:
        raise RequestError(f"--data {data}: protocol {protocol.name} brings its own photos; leave the option out")
    if protocol.pinned is not None:
        path = str((folder / protocol.pinned.path).resolve())
        changed["pinned"] = protocol.pinned.model_copy(update={"path": path})
    return protocol.model_copy(update=changed)


def _placed(recipe: Section, folder: Path) -> Section:
    """A recipe with the place of the weights that it brings, if it brings any, made absolute."""
    given = getattr(recipe, "weights", None)
    if not isinstance(given, Given):
        return recipe
    path = str((folder / given.path).resolve())
    return recipe.model_copy(update={"weights": given.model_copy(update={"path": path})})
