"""Protocols: frozen, versioned experiments as validated TOML."""

import difflib
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import RequestError, first_problem

Positive = Annotated[int, Field(ge=1)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Role = Literal["generator", "target", "evaluator"]
"""A network of a fold."""
Figure = Literal["target_top1", "evaluator_top1", "generator_rmse"]
"""What a fold's networks measure: accuracy on unseen real photos; root mean squared pixel error of D(E(x)) on Q1."""
Widths = Annotated[tuple[Positive, ...], Field(min_length=1, max_length=6)]


class Section(BaseModel):
    """A table of a protocol file: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Data(Section):
    """Where the photos come from and how they become images."""

    reader: Literal["orl", "folder"]
    path: str | None = None
    """For ``folder``: one folder a person; relative to the protocol file."""
    image: tuple[Positive, Positive]
    """Height and width in pixels; grey."""
    crop: tuple[Count, Count, Positive, Positive] | None = None
    """Left, top, right, bottom box cut out first, in pixels of the original."""
    sha256: Sha256 | None = None
    """Of all the photos (``Index.sha256``); where given, other photos are refused."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.path is not None) != (self.reader == "folder"):
            raise ValueError('path goes with reader = "folder", and only with it')
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
    q1_people: Count = 0
    """At most so many people in Q1, the attacker's; 0 is everyone not enrolled."""
    q1_photos: Positive
    """At most so many photos of each."""
    q2_photos: Positive
    """Photos of each enrolled person that train R_tar."""
    q2_others: Count = 0
    """Further people in R_tar only."""
    q3_photos: Positive
    """Photos of each person that train R_eval."""
    q3_others: Count = 0
    """Further people in R_eval only."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.q2_photos + self.q3_photos > self.min_photos:
            raise ValueError("q2_photos + q3_photos is more than min_photos: Q2 and Q3 share no photo")
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


class Recipe(Section):
    """How a network is trained: AdamW, one-cycle learning rate."""

    widths: Widths
    """Channels after each halving."""
    steps: Positive
    batch: Annotated[int, Field(ge=2)]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    augment: Augmentation = Augmentation()


class GeneratorRecipe(Recipe):
    """The attacker's D: the decoder of a VAE trained on Q1."""

    kind: Literal["vae"] = "vae"
    latent: Positive
    """m."""
    beta: Annotated[float, Field(gt=0)]
    """Weight of the KL term against the summed squared error of the pixels."""


class RecogniserRecipe(Recipe):
    """R_tar or R_eval: the same trunk, their own last two layers."""

    hidden: Positive
    """Units of the last layer but one."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Defaults(Section):
    """What ``run`` does unless told otherwise."""

    target: str = "paper"
    attacks: Annotated[tuple[str, ...], Field(min_length=1)] = ("wb", "bb")
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
    sha256: dict[str, dict[Role, Sha256]]
    recipe: dict[str, dict[Role, Sha256]]
    """Hash of the recipe, seed and photos each was trained with (``Laboratory.recipe_sha256``): weights from another
    split may have seen the photos that this one tests on."""
    figures: dict[str, dict[Figure, float]]
    tolerance: dict[Figure, Annotated[float, Field(ge=0)]]
    """How far each of a retraining's figures may be from these and still reproduce them."""


class Protocol(Section):
    """One experiment. Two protocols with the same ``sha256`` are the same experiment."""

    schema_: Annotated[Literal[1], Field(alias="schema")]
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=40)]
    version: Positive
    about: str = ""
    data: Data
    split: Split
    generator: GeneratorRecipe
    target: RecogniserRecipe
    evaluator: RecogniserRecipe
    run: Defaults
    pinned: Pinned | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for recipe, what in ((self.generator, "generator"), (self.target, "target"), (self.evaluator, "evaluator")):
            halved = 2 ** len(recipe.widths)
            if any(side % halved for side in self.data.image):
                raise ValueError(
                    f"{what}.widths halves the image {len(recipe.widths)} times, "
                    f"so data.image needs sides divisible by {halved}"
                )
        if self.pinned:
            roles, figures = set(get_args(Role)), set(get_args(Figure))
            for fold in self.split.folds:
                hashes = (self.pinned.sha256.get(fold, {}), self.pinned.recipe.get(fold, {}))
                if any(set(table) != roles for table in hashes) or set(self.pinned.figures.get(fold, {})) != figures:
                    raise ValueError(
                        f"pinned needs sha256.{fold} and recipe.{fold} for {sorted(roles)}, "
                        f"figures.{fold} for {sorted(figures)}"
                    )
            if set(self.pinned.tolerance) != figures:
                raise ValueError(f"pinned.tolerance needs {sorted(figures)}")
        return self

    @property
    def sha256(self) -> str:
        """SHA-256 of what it says, whatever the file's layout; the place of the photos is no part of it."""
        text = self.model_dump_json(by_alias=True, exclude={"about": True, "data": {"path"}, "pinned": {"path"}})
        return hashlib.sha256(text.encode()).hexdigest()


BUILT_IN = Path(__file__).parent / "protocols"


def built_in() -> list[str]:
    """The names of the protocols that come with the package."""
    return sorted(path.stem for path in BUILT_IN.glob("*.toml"))


def load(name_or_path: str) -> Protocol:
    """A built-in protocol by name, or a user's own TOML file; RequestError names the file and the key."""
    if name_or_path in built_in():
        path = BUILT_IN / f"{name_or_path}.toml"
    else:
        path = Path(name_or_path)
        if path.suffix != ".toml" and not path.exists():
            close = difflib.get_close_matches(name_or_path, built_in(), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"built in: {', '.join(built_in())}"
            raise RequestError(f"unknown protocol {name_or_path!r}; {hint}; or give the path of a .toml file")
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"protocol {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"protocol {path} is not TOML: {error}") from None
    try:
        protocol = Protocol.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise RequestError(f"protocol {path}: {first_problem(error)}") from None
    return _with_absolute_paths(protocol, path.parent)


def _with_absolute_paths(protocol: Protocol, folder: Path) -> Protocol:
    changed: dict[str, Section] = {}
    for name in ("data", "pinned"):
        section = getattr(protocol, name)
        if section is not None and section.path is not None:
            changed[name] = section.model_copy(update={"path": str((folder / section.path).resolve())})
    return protocol.model_copy(update=changed)
