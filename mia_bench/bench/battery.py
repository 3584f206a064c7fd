"""Does an evaluator see faces? What must and what must not move a judgement, measured on real photos it has not seen.

Each test shows pictures made from a photo of one person (*true*), most with something of somebody *other* in them, and
counts whom the evaluator puts first. One that fails a test may be right about other things, but what it says of a
reconstruction is no sign of a face.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from ..files import write_atomic
from ..networks.eigenface import inner_face
from ..networks.store import cache_dir
from ..plugin.evaluator import Evaluator
from ..plugin.photos import Photos
from .laboratory import Laboratory

FORMAT = 1
"""Raise it when what is measured changes."""
BLOCKS = 8
"""A side: the means of so many blocks are a picture's coarse content, its light, hair and background."""


@dataclass(frozen=True)
class Test:
    """One way to change a photo, and what an evaluator that sees faces says of it: shares of the pictures."""

    name: str
    what: str
    change: Callable[[Tensor, Tensor], Tensor]
    """Of photos (B, 1, H, W), and the mean photo of somebody other for each (B, 1, H, W)."""
    least: float | None = None
    """The true person, at least."""
    most: float | None = None
    """The true person, at most."""
    most_other: float | None = None
    """The other person, at most."""


def coarse(images: Tensor) -> Tensor:
    """The means of blocks, enlarged bilinearly; same shape."""
    means = F.adaptive_avg_pool2d(images, BLOCKS)
    return F.interpolate(means, images.shape[-2:], mode="bilinear", align_corners=False)


def _lit(images: Tensor, other: Tensor) -> Tensor:
    """Light from one side: 0.6 of it at the left edge, 1.4 at the right."""
    return images * torch.linspace(0.6, 1.4, images.shape[-1], device=images.device)


def _blurred(images: Tensor, other: Tensor) -> Tensor:
    """Half the pixels a side, and back."""
    small = F.interpolate(images, scale_factor=0.5, mode="area")
    return F.interpolate(small, images.shape[-2:], mode="bilinear", align_corners=False)


def _surrounded(images: Tensor, other: Tensor) -> Tensor:
    """The other's hair and background around the inner face."""
    inside = inner_face((images.shape[-2], images.shape[-1])).to(images.device)
    return inside * images + (1 - inside) * other


TESTS = (
    Test("real", "photos as they are", lambda images, other: images, least=0.9),
    Test(
        "coarse swap",
        "another's light, hair and background under the true person's features",
        lambda images, other: images - coarse(images) + coarse(other),
        least=0.8,
        most_other=0.05,
    ),
    Test(
        "fine swap",
        "another's features under the true person's light, hair and background",
        lambda images, other: other - coarse(other) + coarse(images),
        most=0.2,
    ),
    Test("surroundings", "another's hair and background around the true face", _surrounded, least=0.7),
    Test("light", "lit from one side", _lit, least=0.8),
    Test("contrast", "half the contrast", lambda images, other: 0.25 + images / 2, least=0.8),
    Test("blur", "half the pixels", _blurred, least=0.8),
    Test("mirror", "the mirror image", lambda images, other: images.flip(-1), least=0.8),
)
CHANCE = 0.1
"""Floor and null may be at most so far above chance: they show nobody."""


class Battery(BaseModel):
    """One evaluator on one fold: shares of the pictures."""

    model_config = ConfigDict(frozen=True)

    true: dict[str, float]
    """By test: put the person of the photo first."""
    other: dict[str, float]
    """By test: put first the person whose something was put in."""


def battery(lab: Laboratory, evaluator: Evaluator, fold: str) -> Battery:
    """An evaluator's battery on a fold's unseen photos, from the cache or measured now."""
    unseen = lab.split(fold).q3_test
    content: list[object] = [FORMAT, lab.protocol.sha256, fold, unseen.hashes, lab.engine.device.type]
    content += [evaluator.spec, evaluator.parameters, evaluator.source_sha256]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    file = cache_dir() / "battery" / f"{key}.json"
    try:
        return Battery.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        pass  # not measured yet, or damaged
    found = _measure(lab, evaluator, fold, unseen)
    write_atomic(file, found.model_dump_json().encode())
    return found


def _measure(lab: Laboratory, evaluator: Evaluator, fold: str, unseen: Photos) -> Battery:
    fitted = lab.fit(evaluator, fold)
    other_of = _others(unseen)
    means = {person: unseen.of(person).mean(0, keepdim=True) for person in unseen.people}
    others = [other_of[person] for person in unseen.names]
    images = unseen.images
    other = torch.cat([means[person] for person in others])
    true, confused = {}, {}
    for test in TESTS:
        pictures = test.change(images, other).clamp(0, 1).to(lab.engine.device)
        true[test.name] = _share(fitted.rank_of(pictures, unseen.names))
        confused[test.name] = _share(fitted.rank_of(pictures, others))
    return Battery(true=true, other=confused)


def _others(photos: Photos) -> Mapping[str, str]:
    """For each person the next one by name."""
    people = sorted(photos.people)
    return dict(zip(people, [*people[1:], people[0]], strict=True))


def _share(ranks: Tensor) -> float:
    return round(float((ranks == 0).float().mean()), 6)


def failures(folds: Sequence[Battery], people: int, controls: Mapping[str, float]) -> list[str]:
    """In words, each test that an evaluator fails over some folds; ``controls`` has its floor and null, which among so
    many people should be chance."""
    found = []
    for test in TESTS:
        true, other = (sum(getattr(own, of)[test.name] for own in folds) / len(folds) for of in ("true", "other"))
        if test.least is not None and true < test.least:
            found.append(f"{test.name}: {true:.0%} for the true person, {test.least:.0%} needed")
        if test.most is not None and true > test.most:
            found.append(f"{test.name}: {true:.0%} for whose hair and light it is, at most {test.most:.0%}")
        if test.most_other is not None and other > test.most_other:
            found.append(f"{test.name}: {other:.0%} for the other, at most {test.most_other:.0%}")
    for kind, share in controls.items():
        if share > 1 / people + CHANCE:
            found.append(f"{kind}: {share:.0%} where chance is {1 / people:.0%}")
    return found
