"""Who is public, who is enrolled, and which photos train what: the paper's Q1, Q2 and Q3 (section V-A)."""

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from ..plugin.errors import RequestError
from ..plugin.photos import Photos
from ..plugin.seeds import rng
from . import images, readers
from .model import Protocol

T = TypeVar("T")


@dataclass(frozen=True)
class Split:
    """One fold's photos. Made only by ``make``, which asserts that nothing leaks between the sets."""

    fold: str
    targets: tuple[str, ...]
    """The identities under attack."""
    q1: Photos
    """The attacker's; empty where they are drawn from a generator (``q1_drawn``), which ``make`` does not have."""
    q2: Photos
    """R_tar's training photos."""
    q2_test: Photos
    """Photos of Q2's people that R_tar never saw."""
    q3: Photos
    """R_eval's training photos."""
    q3_test: Photos
    """Photos of Q3's people that R_eval never saw."""


def make(protocol: Protocol, fold: str) -> Split:
    """The split of one fold; RequestError if the photos do not suffice, or one photo stands under two people."""
    rule, found = protocol.split, readers.index(protocol)
    shuffled = _shuffled(list(found.people), rule.seed, "people")
    eligible = [person for person in shuffled if len(found.people[person]) >= rule.min_photos]
    least = rule.min_target_photos or rule.min_photos
    candidates = [person for person in eligible if len(found.people[person]) >= least]
    others = rule.q2_others + rule.q3_others
    _require(protocol, found, "attacks", rule.targets * len(rule.folds), least)
    _require(protocol, found, "enrols", rule.targets + others, rule.min_photos)
    readers.check_hash(found, protocol.data)

    start = rule.folds.index(fold) * rule.targets
    targets = sorted(candidates[start : start + rule.targets])
    spare = [person for person in eligible if person not in targets]
    q2_people = sorted(targets + spare[: rule.q2_others])
    q3_people = sorted(targets + spare[rule.q2_others : others])
    enrolled = set(q2_people) | set(q3_people)
    q1_people = [person for person in shuffled if person not in enrolled]
    q1_people = sorted(q1_people[: rule.q1_people] if rule.q1_people else q1_people)
    if len(q1_people) < rule.q1_people:
        raise RequestError(
            f"protocol {protocol.name} wants {rule.q1_people} people for Q1, the attacker's, but {found.root} has "
            f"{len(q1_people)} besides those enrolled"
        )
    if rule.q1_drawn:
        q1_people = []
    public = rule.q1_drawn or sum(min(len(found.people[person]), rule.q1_photos) for person in q1_people)
    few = len(q1_people) < 2 and not rule.q1_drawn
    if few or public <= protocol.run.seed_photos:
        raise RequestError(
            f"protocol {protocol.name} leaves {len(q1_people)} people with {public} photos for Q1, the attacker's; it "
            f"needs 2 people and more than run.seed_photos = {protocol.run.seed_photos} photos: enrol fewer people"
        )

    photos = {person: _distinct(_shuffled(list(found.people[person]), rule.seed, person)) for person in enrolled}
    for person, files in photos.items():
        if len(files) < rule.min_photos:
            raise RequestError(
                f"{found.root / person} has only {len(files)} distinct photos; protocol {protocol.name} needs "
                f"{rule.min_photos} of each enrolled person"
            )

    def share(person: str) -> int:
        """A target's photos are divided between the two networks; of those of others some are kept for testing."""
        count = len(photos[person])
        return count // 2 if person in targets else count * 4 // 5

    q2 = {person: photos[person][: min(rule.q2_photos, share(person))] for person in q2_people}
    q3 = {person: photos[person][-min(rule.q3_photos, share(person)) :] for person in q3_people}
    most = rule.test_photos or None
    unseen_by_tar = {person: _without(photos[person], q2[person])[:most] for person in q2_people}
    unseen_by_eval = {person: _without(photos[person], q3[person])[:most] for person in q3_people}
    q1 = {p: _shuffled(list(found.people[p]), rule.seed, p)[: rule.q1_photos] for p in q1_people}

    read = {file: name for name, chosen in (q1 | photos).items() for file in chosen}
    _refuse_shared_photos(read)
    split = Split(
        fold,
        tuple(targets),
        *(images.load(part, protocol.data) for part in (q1, q2, unseen_by_tar, q3, unseen_by_eval)),
    )
    _assert_disjoint(split)
    return split


def _require(protocol: Protocol, found: readers.Index, verb: str, people: int, photos: int) -> None:
    """RequestError if fewer people than needed have so many photos."""
    short = [person for person, files in found.people.items() if len(files) < photos]
    able = len(found.people) - len(short)
    if able < people:
        example = f"; e.g. {found.root / short[0]} has {len(found.people[short[0]])}" if short else ""
        raise RequestError(
            f"protocol {protocol.name} {verb} {people} people with at least {photos} photos, but {found.root} has "
            f"{able}{example}"
        )


def _shuffled(items: list[T], seed: int, role: str) -> list[T]:
    order = torch.randperm(len(items), generator=rng(seed, "split", role))
    return [items[i] for i in order.tolist()]


def _distinct(files: list[Path]) -> list[Path]:
    """Without files whose bytes came before: a person's copied photo must not train both R_tar and R_eval."""
    return list({readers.sha256_of(file): file for file in reversed(files)}.values())[::-1]


def _without(files: list[Path], taken: list[Path]) -> list[Path]:
    return [file for file in files if file not in taken]


def _refuse_shared_photos(read: dict[Path, str]) -> None:
    first: dict[str, Path] = {}
    for file, person in read.items():
        other = first.setdefault(readers.sha256_of(file), file)
        if read[other] != person:
            raise RequestError(f"the same photo stands under two people: {other} and {file}; remove one")


def _assert_disjoint(split: Split) -> None:
    """What every published figure rests on."""
    assert not set(split.q1.people) & (set(split.q2.people) | set(split.q3.people)), "an identity of Q1 is enrolled"
    assert not set(split.q2.hashes) & set(split.q3.hashes), "Q2 and Q3 share a photo"
    assert not set(split.q2.hashes) & set(split.q2_test.hashes), "R_tar is tested on a training photo"
    assert not set(split.q3.hashes) & set(split.q3_test.hashes), "R_eval is tested on a training photo"
    assert set(split.targets) <= set(split.q2.people) & set(split.q3.people), "a target is not enrolled in both"
