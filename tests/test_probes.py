"""The probes ask the service: what hides is flagged, what tells nothing, or refuses, or only changes units is not."""

import pytest
import torch

from mia_bench import Access
from mia_bench.bench.probes import probe
from mia_bench.networks.lesson import Role
from mia_bench.plugin import ModuleRecogniser, Query
from mia_bench.records import flags
from mia_bench.records.figures import Queries


@pytest.fixture(scope="module")
def scene(lab):
    generator, codes = lab.generator("A", "vae"), lab.codes("A", "vae")
    trials = lab.trials("A", "vae", lab.split("A").targets, 2, seed=0)
    latents = torch.cat([trials.z0, generator.encode(lab.split("A").q2_test.images)[:40]])
    return ModuleRecogniser(lab.trained(Role("target"), "A"), lab.engine), generator, codes, latents


def flagged(scene, service, access=Access.SCORES, target=None):
    """The names of the flags that hide something."""
    recogniser, generator, codes, latents = scene
    draw = torch.Generator().manual_seed(3)
    asked = target or recogniser.scores
    found = probe(service, asked, generator, codes, latents, access, draw)
    spent = Queries(mean=0, median=0, total=0, budget=1, by_phase={})
    return {flag.name for flag in flags.of_cell(Access.SCORES, found, spent) if flag.kind == "hides"}


def softmax(scores, temperature):
    return (scores.clamp(min=1e-12).log() / temperature).softmax(1)


def honest(recogniser):
    """What tells less, or in other units, and hides nothing."""

    def merged(scores):
        return scores.view(len(scores), -1, 4).mean(2, keepdim=True).expand(-1, -1, 4).reshape(scores.shape)

    def topk(scores, k=5):
        return scores.where(scores >= scores.topk(k).values[:, -1:], torch.nan)

    return {
        "none": lambda scores: scores,
        "constant": lambda scores: torch.full_like(scores, 1 / scores.shape[1]),
        "merge": merged,
        "temperature 2": lambda scores: softmax(scores, 2),
        "temperature 100": lambda scores: softmax(scores, 100),
        "logs": lambda scores: (1 + scores.clamp(min=1e-12).log() / 40).clamp(0, 1),
        "square root": lambda scores: scores.sqrt(),
        "top 5": topk,
        "shuffled names": lambda scores: scores,
    }


@pytest.mark.parametrize("name", honest(None))
def test_what_hides_nothing_is_not_flagged(scene, name):
    release = honest(scene[0])[name]
    assert flagged(scene, lambda query: release(scene[0](query))) == set()


def test_an_honest_quota_is_not_flagged(scene):
    sent: dict[int, int] = {}

    def service(query):
        scores = scene[0](query)
        for place, caller in enumerate(query.callers.tolist()):
            sent[caller] = sent.get(caller, 0) + 1
            if sent[caller] > 2:
                scores[place] = torch.nan
        return scores

    assert flagged(scene, service) == set()


def shams(recogniser):
    """What keeps the leak and spoils the search."""
    draw = torch.Generator().manual_seed(1)

    def by_row(query):
        scores = recogniser(query)
        rows = torch.arange(len(scores)).unsqueeze(1)
        return (scores + 0.05 * torch.sin(rows + torch.arange(scores.shape[1]))).clamp(0, 1)

    def reversed_slope(query):
        scores = recogniser(query)
        sure = 0.9 - 0.3 * scores.amax(1, keepdim=True)  # the surer the target is, the less it says
        rest = ((1 - sure) / (scores.shape[1] - 1)).expand(scores.shape)
        return rest.scatter(1, scores.argmax(1, keepdim=True), sure)

    def keyed(query):
        scores = recogniser(query)
        key = (scores * 100).round().sum(1, keepdim=True) + (scores * 1000).round().amax(1, keepdim=True)
        return (scores + 0.2 * torch.sin(997 * key + torch.arange(scores.shape[1]))).clamp(0, 1)

    def one_hot_random_rest(query):
        scores = recogniser(query)
        rest = torch.rand(scores.shape, generator=draw) * 0.1
        return rest.scatter(1, scores.argmax(1, keepdim=True), 0.9)

    return {
        "noise": lambda query: (recogniser(query) + 0.05 * torch.randn(len(query), 20, generator=draw)).clamp(0, 1),
        "noise by row": by_row,
        "slope reversed": reversed_slope,
        "noise keyed to the rounded answer": keyed,
        "one-hot with random rest": one_hot_random_rest,
        "rounded to tenths": lambda query: recogniser(query).round(decimals=1),
        "T = 0.01": lambda query: softmax(recogniser(query), 0.01),
    }


@pytest.mark.parametrize("name", shams(None))
def test_what_hides_is_flagged(scene, name):
    assert flagged(scene, shams(scene[0])[name]) != set()


@pytest.mark.parametrize("name", ["noise", "T = 0.01", "noise by row"])
def test_what_a_target_itself_hides_is_flagged(scene, name):
    service = shams(scene[0])[name]
    assert flagged(scene, service, target=lambda images: service(Query(images, torch.zeros(len(images))))) != set()


def test_labels_alone_have_no_slope_to_mislead(scene):
    def service(query):
        scores = scene[0](query)
        return torch.full_like(scores, torch.nan).scatter(1, scores.argmax(1, keepdim=True), 1.0)

    assert flagged(scene, service, Access.LABEL_ONLY) == set()
