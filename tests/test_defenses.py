"""Every registered defense keeps the contract; each built-in does what its docstring says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mia_bench.plugin import Access, ComponentError, Defense, Pipeline, bounded, top_label
from mia_bench.plugin.errors import RequestError

from .helpers import answers, random_scores

EXAMPLES = ["none", "topk1", "topk5", "round1", "round2", "noise0.05", "labelonly", "topk5+round2", "noise0.1+topk3"]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("spec", EXAMPLES)
def test_contract(registry, spec):
    defense = registry.defense(spec)
    scores = random_scores(50, 20)
    before = scores.clone()
    released = answers(defense, scores, rng())
    assert released.shape == scores.shape
    assert torch.equal(scores, before), "a defense must not change its input"
    again = answers(defense, scores, rng())
    assert (
        torch.equal(
            released,
            again,
        )
        if not released.isnan().any()
        else torch.equal(released.nan_to_num(-1), again.nan_to_num(-1))
    )
    assert registry.defense(defense.spec).spec == defense.spec, "the canonical spec reads back as itself"


def test_every_registered_defense_has_an_example(registry):
    covered = {stage.name for spec in EXAMPLES for stage in registry.defense(spec).stages}
    assert covered == {entry.name for entry in registry.entries("defense") if entry.origin.startswith("mia-bench ")}


@given(st.integers(1, 20), st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_topk_releases_k_unchanged_scores_and_raises_no_rank(k, seed):
    from mia_bench.defenses.topk import TopK

    scores = random_scores(4, 20, seed)
    released = TopK(k=k).release(scores, rng())
    seen = ~released.isnan()
    assert seen.sum(1).tolist() == [k] * 4
    assert torch.equal(released[seen], scores[seen])
    rank = (scores.unsqueeze(1) > scores.unsqueeze(2)).sum(2)
    filled = released.nan_to_num(-1.0)
    new_rank = (filled.unsqueeze(1) > filled.unsqueeze(2)).sum(2)
    assert bool((new_rank[seen] >= rank[seen]).all())
    assert bool((new_rank[~seen] >= k).all())


def test_composition_runs_left_to_right(registry):
    scores = torch.tensor([[0.44, 0.36, 0.2]])
    kept = answers(registry.defense("topk2+round1"), scores, rng())
    assert kept[0, :2].tolist() == pytest.approx([0.4, 0.4])
    assert bool(kept[0, 2].isnan())
    # rounding first makes the first two equal, and top-1 then takes the first of them
    assert answers(registry.defense("round1+topk1"), scores, rng())[0].isnan().tolist() == [False, True, True]
    scores = torch.tensor([[0.36, 0.44, 0.2]])
    assert answers(registry.defense("round1+topk1"), scores, rng())[0].isnan().tolist() == [False, True, True]
    assert answers(registry.defense("topk1+round1"), scores, rng())[0].isnan().tolist() == [True, False, True]


def test_rounding_keeps_withheld_scores_withheld(registry):
    released = answers(registry.defense("topk3+round2+noise0.01"), random_scores(10, 20), rng())
    assert (~released.isnan()).sum(1).tolist() == [3] * 10


def test_noise_is_renormalised_and_fresh(registry):
    scores = random_scores(100, 20)
    stream = rng()
    noise = registry.defense("noise0.05")
    one, two = answers(noise, scores, stream), answers(noise, scores, stream)
    assert torch.allclose(one.sum(1), torch.ones(100), atol=1e-5)
    assert not torch.equal(one, two)
    assert float((one - scores).abs().mean()) > 0.005


def test_labelonly_tells_the_label_and_nothing_else(registry):
    scores = random_scores(30, 20)
    pipeline = registry.defense("round2+labelonly")
    released = answers(pipeline, scores, rng())
    assert pipeline.access is Access.LABEL_ONLY
    assert released.nansum(1).tolist() == [1.0] * 30
    assert torch.equal(top_label(released), top_label(scores.round(decimals=2)))


@given(st.integers(1, 20), st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_bounded_is_an_upper_bound_on_what_was_withheld(k, seed):
    from mia_bench.defenses.topk import TopK

    scores = random_scores(4, 20, seed)
    bound = bounded(TopK(k=k).release(scores, rng()))
    assert not bool(bound.isnan().any())
    assert bool((bound >= scores - 1e-6).all())


class Faulty(Defense):
    name = "faulty"
    how: str

    def release(self, scores, rng):
        if self.how == "shape":
            return scores[:, :-1]
        if self.how == "raise":
            raise RuntimeError("no luck")
        if self.how == "type":
            return scores.tolist()
        if self.how == "integers":
            return scores.long()
        bad = {"nan": torch.nan, "negative": -0.1, "infinite": torch.inf, "above": 1.5}[self.how]
        return torch.cat([torch.full_like(scores[:, :1], bad), scores[:, 1:]], 1)


class Silent(Defense):
    name = "silent"
    withholds = True

    def release(self, scores, rng):
        return torch.full_like(scores, torch.nan)


class InPlace(Defense):
    name = "inplace"

    def release(self, scores, rng):
        scores[scores < 0.1] = torch.nan
        return scores


def test_editing_the_scores_in_place_hides_nothing():
    scores = random_scores(3, 5)
    with pytest.raises(ComponentError, match="withholds = True"):
        answers(Pipeline((InPlace(),)), scores, rng())
    assert not bool(scores.isnan().any())


@pytest.mark.parametrize("how", ["shape", "raise", "type", "integers", "nan", "negative", "infinite", "above"])
def test_a_broken_answer_is_refused_at_the_door(how):
    with pytest.raises(ComponentError, match="defense faulty:how="):
        answers(Pipeline((Faulty(how=how),)), random_scores(3, 5), rng())


def test_withholding_everything_is_refused():
    with pytest.raises(ComponentError, match="withheld every score"):
        answers(Pipeline((Silent(),)), random_scores(3, 5), rng())


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("tokp5", "did you mean 'topk'"),
        ("nune", "did you mean 'none'"),
        ("topk0", "greater than or equal to 1"),
        ("topk", "k: Field required"),
        ("topk5.5", "integer"),
        ("topk:k=5,k=6", "given twice"),
        ("topk:5", "parameter=value"),
        ("topk:size=5", "size"),
        ("round-1", "greater than or equal to 0"),
        ("noise-0.1", "greater than 0"),
        ("noisenan", "finite"),
        ("noiseinf", "finite"),
        ("topk5+", "unknown defense ''"),
        ("", "unknown defense ''"),
    ],
)
def test_a_wrong_spec_is_one_clear_line(registry, spec, word):
    with pytest.raises(RequestError) as caught:
        registry.defense(spec)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("topk5", "topk:k=5"),
        ("topk:k=5", "topk:k=5"),
        ("noise0.050", "noise:sigma=0.05"),
        ("none+topk5", "topk:k=5"),
        ("topk5+round2", "topk:k=5+round:digits=2"),
        (" none ", "none"),
    ],
)
def test_canonical_specs(registry, written, canonical):
    assert registry.defense(written).spec == canonical
