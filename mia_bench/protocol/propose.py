"""A protocol proposed for a folder of photos: how its people can be divided into Q1, Q2 and Q3."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..plugin.errors import RequestError
from . import readers
from .photo import grey

PHOTOS_OF_EACH = (20, 16, 12, 10, 8, 6, 4)
"""Photos asked of an enrolled person, the most first: half train R_tar, half R_eval."""
MOST_TARGETS = 50
SEED_PHOTOS = 16
"""The paper's: a trial starts at their mean encoding. Few public photos leave half of them."""
ENOUGH_PUBLIC, LEAST_PUBLIC = 2 * SEED_PHOTOS, 4
"""Photos that Q1 should have, and must have."""


@dataclass(frozen=True)
class Proposal:
    """A protocol file for a folder."""

    name: str
    toml: str
    summary: str
    k: int
    """A top-k that makes sense for so few or so many targets."""


@dataclass(frozen=True)
class _Division:
    folds: tuple[str, ...]
    targets: int
    min_photos: int

    @property
    def q1_photos(self) -> int:
        """Photos of each public person."""
        return max(self.min_photos // 2, 10)


def propose(root: Path) -> Proposal:
    """Look at the folder and divide its people; RequestError names the file or folder that stands in the way."""
    found = readers.folder(root)
    counts = {person: _distinct_photos(files) for person, files in found.people.items()}
    division = _divide(counts, root)
    enrollable = sum(count >= division.min_photos for count in counts.values())
    half = division.min_photos // 2
    name = re.sub(r"[^a-z0-9_-]+", "-", root.resolve().name.lower()).strip("-_")[:40].strip("-_")
    name = name if re.match(r"[a-z]", name) else f"faces-{name}".strip("-")[:40]
    summary = (
        f"{len(counts)} people, {sum(counts.values())} photos; {division.targets} targets in each of "
        f"{len(division.folds)} fold(s), {half} photos each for R_tar and R_eval, everybody else public (Q1)"
    )
    toml = _TEMPLATE.format(
        name=name,
        path=str(root.resolve()).replace("\\", "\\\\").replace('"', '\\"'),
        sha256=found.sha256(),
        people=len(counts),
        enrollable=enrollable,
        folds=", ".join(f'"{fold}"' for fold in division.folds),
        targets=division.targets,
        min_photos=division.min_photos,
        q1_photos=division.q1_photos,
        half=half,
        seed_photos=min(SEED_PHOTOS, _public_photos(counts, division) // 2),
        steps=int(np.clip(30 * division.targets, 600, 3000)),
        generator_steps=int(np.clip(2 * len(counts), 1200, 4000)),
    )
    return Proposal(name, toml, summary, k=min(5, division.targets - 1))


def _divide(counts: dict[str, int], root: Path) -> _Division:
    """The most photos of each enrolled person with which the people can be divided, in the first layout that fits:
    two folds (each enrolled person is a target once) where most people can be enrolled, else one fold of those who can,
    at most half of all people, so that Q1 keeps enough of them."""
    people = len(counts)
    for public in (ENOUGH_PUBLIC, LEAST_PUBLIC):
        for photos in PHOTOS_OF_EACH:
            able = sum(count >= photos for count in counts.values())
            two = _Division(("A", "B"), min(able // 2, MOST_TARGETS), photos)
            one = _Division(("A",), min(able, people // 2, MOST_TARGETS), photos)
            if two.targets >= 2 and able >= 0.8 * people and _public_photos(counts, two) >= public:
                return two
            if one.targets >= (5 if photos > PHOTOS_OF_EACH[-1] else 2) and _public_photos(counts, one) >= public:
                return one
    least = PHOTOS_OF_EACH[-1]
    able = sum(count >= least for count in counts.values())
    short = min(counts, key=lambda person: (counts[person], person))
    raise RequestError(
        f"{root} has {people} people, {able} of them with at least {least} photos; a protocol needs 2 people with "
        f"{least} photos (2 for R_tar, 2 for R_eval) and 2 others for Q1 who together have {LEAST_PUBLIC}; "
        f"{root / short} has {counts[short]}"
    )


def _distinct_photos(files: tuple[Path, ...]) -> int:
    """How many different photos; each is decoded, so that what cannot be used is named now."""
    for file in files:
        grey(file.read_bytes(), file)
    return len({readers.sha256_of(file) for file in files})


def _public_photos(counts: dict[str, int], layout: _Division) -> int:
    """The fewest photos that Q1 can be left with, whoever is drawn as a target."""
    able = sorted((count for count in counts.values() if count >= layout.min_photos), reverse=True)
    rest = [count for count in counts.values() if count < layout.min_photos] + able[layout.targets :]
    return sum(min(count, layout.q1_photos) for count in rest) if len(rest) >= 2 else 0


_TEMPLATE = """\
# A mia-bench protocol: a frozen experiment. Change what you like before you publish figures made with it, and raise
# 'version' when you change it afterwards. All keys are described in docs/protocol.md.
schema = 2
name = "{name}"
version = 1
about = "written by mia-bench new protocol"

[data]
reader = "folder"          # one folder per person; PGM, PNG or JPEG, grey or colour (made grey)
path = "{path}"
image = [32, 32]           # height, width: each photo is centre-cropped to this shape and resized
# crop = [61, 56, 189, 184]  # left, top, right, bottom box to cut out first, if faces are not yet cropped
sha256 = "{sha256}"        # of all photos; remove the line to let the folder change

[split]                    # {people} people found, {enrollable} of them with at least min_photos photos
seed = 1
folds = [{folds}]          # with two folds every fold attacks other people
targets = {targets}        # people enrolled and attacked in each fold; the others are Q1
min_photos = {min_photos}  # a person needs so many photos to be enrolled
q1_photos = {q1_photos}    # Q1: at most so many photos of each public person train the attacker's generator
q2_photos = {half}         # Q2: photos of each target that train R_tar
q3_photos = {half}         # Q3: other photos of each target that train R_eval

[generators.vae]           # D: the decoder of a VAE
kind = "vae"
latent = 32
beta = 0.05
widths = [16, 32, 48]
steps = {generator_steps}
batch = 64
learning_rate = 2e-3
weight_decay = 1e-2
augment = {{ rotate = 0.1, scale = 0.08, shift = 0.04, contrast = 0.2 }}

[target]                   # R_tar
widths = [16, 32, 48]
hidden = 128
steps = {steps}
batch = 64
learning_rate = 2e-3
weight_decay = 1e-2
augment = {{ rotate = 0.15, scale = 0.1, shift = 0.1, contrast = 0.3 }}

[evaluator]                # R_eval
widths = [16, 32, 48]
hidden = 96
steps = {steps}
batch = 64
learning_rate = 2e-3
weight_decay = 1e-2
augment = {{ rotate = 0.15, scale = 0.1, shift = 0.1, contrast = 0.3 }}

[run]
target = "paper"
attacks = ["wb", "bb"]
trials = 5                 # per identity
seed_photos = {seed_photos}  # Q1 photos whose mean encoding starts a trial
budget = 2500              # queries per trial
seed = 0
"""
