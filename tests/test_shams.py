"""Defenses that only look like one: they hinder one way of searching and leave the answer in what they release."""

import pytest

import mia_bench
from mia_bench.bench.registry import Registry
from mia_bench.plugin import Access
from mia_bench.records import attempt, flags
from mia_bench.records.record import Record

SHAMS = '''
import zlib

import torch
from mia_bench.plugin import Defense, ranking


class Temperature(Defense):
    """A softmax so cold that nearly all scores are 0 or 1."""

    name = "temperature"
    t: float = 0.01

    def release(self, scores, rng):
        return (scores.clamp(min=1e-30).log() / self.t).softmax(1)


class Saturating(Defense):
    """Flat where the target is sure, and where it is sure of something else."""

    name = "saturating"

    def release(self, scores, rng):
        return (4 * scores - 1.5).clamp(0, 1)


class Keyed(Defense):
    """Noise that is the same whenever the same image is sent: repeating a question averages nothing out."""

    name = "keyed"
    sigma: float = 0.05

    def release(self, scores, rng):
        seeds = [zlib.crc32(row.cpu().numpy().tobytes()) for row in scores]
        noise = [torch.randn(scores.shape[1], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        noisy = (scores + self.sigma * torch.stack(noise).to(scores.device)).clamp(min=1e-6)
        return noisy / noisy.sum(1, keepdim=True)


class Shuffled(Defense):
    """All scores but the highest change places, anew at each answer."""

    name = "shuffled"

    def release(self, scores, rng):
        others = ranking(scores)[:, 1:]
        places = torch.rand(others.shape, generator=rng).argsort(1).to(others.device)
        return scores.scatter(1, others.gather(1, places), scores.gather(1, others))
'''
NAMES = ["temperature", "saturating", "keyed", "round1", "shuffled"]
KEEP_THE_LABEL = ["temperature", "shuffled", "topk5", "topk2+labelonly"]
ATTACKS = ["ortho", "surrogate-label:first=75,queries=300,steps=60,climbs=20"]
BUDGET = 500


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The file of the shams."""
    file = tmp_path_factory.mktemp("plugin") / "shams.py"
    file.write_text(SHAMS)
    return file


@pytest.fixture(scope="module")
def attacked_shams(plugin, tmp_path_factory) -> dict[str, list[Record]]:
    """The records of each sham and of none, one an attack: 20 people, one trial each."""
    records = mia_bench.evaluate(
        NAMES,
        attacks=ATTACKS,
        plugins=[plugin],
        folds=["A"],
        trials=1,
        budget=BUDGET,
        out=tmp_path_factory.mktemp("shams"),
    )
    assert [r.status for r in records] == ["ok"] * len(records)
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.defense.replace(":digits=", ""), []).append(record)
    return found


def worst(records: list[Record]) -> float:
    """R_eval's top-1 on what the best attack found."""
    return max(record.attack_accuracy.top1 for record in records)


@pytest.mark.parametrize("sham", NAMES)
def test_a_sham_defense_protects_nobody(attacked_shams, sham):
    assert worst(attacked_shams["none"]) >= 0.9
    assert worst(attacked_shams[sham]) >= worst(attacked_shams["none"]) - 0.1


MASKS = {
    "temperature": flags.ZERO_GRADIENTS,
    "saturating": flags.ZERO_GRADIENTS,
    "keyed": flags.RANDOMISED,
    "round1": flags.ZERO_GRADIENTS,
    "shuffled": flags.RANDOMISED,
}


@pytest.mark.parametrize("sham", NAMES)
def test_a_sham_defense_carries_a_flag(attacked_shams, sham):
    assert MASKS[sham] in {flag.name for record in attacked_shams[sham] for flag in record.flags}
    assert not any(record.flags for record in attacked_shams["none"])


def test_what_keeps_the_top_label_cannot_stop_what_asks_for_labels_alone(plugin, tmp_path):
    """The post-processing bound: the same seeds and the same labels, so the same faces, to the last bit."""
    registry = Registry()
    attacks = [e.name for e in registry.entries("attack") if registry.attack(e.name).access is Access.LABEL_ONLY]
    assert "surrogate-label" in attacks
    small = [f"{name}:queries=40,first=20,steps=20" if name == "surrogate-label" else name for name in attacks]
    records = mia_bench.evaluate(
        KEEP_THE_LABEL,
        attacks=small,
        plugins=[plugin],
        folds=["A"],
        identities=4,
        trials=1,
        budget=150,
        out=tmp_path,
    )
    faces: dict[str, set[bytes]] = {}
    for record in records:
        left = attempt.read(record.request, (32, 32), tmp_path).folds["A"]
        parts = (left.images, left.offered, left.converged, left.queries)
        faces.setdefault(record.attack, set()).add(b"".join(part.numpy().tobytes() for part in parts))
    assert len(records) == len(small) * (1 + len(KEEP_THE_LABEL))
    assert {attack: len(different) for attack, different in faces.items()} == dict.fromkeys(faces, 1)
