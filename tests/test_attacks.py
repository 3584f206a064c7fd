"""What every registered attack must keep to, and what each of them is there to show."""

import dataclasses

import pytest
import torch

import mia_bench
from attacks._crops import cropped
from attacks._loss import log_scores, margin, poincare
from mia_bench.bench.registry import Registry
from mia_bench.networks.lesson import Role
from mia_bench.plugin import Access, Defense, ModuleRecogniser, Pipeline
from mia_bench.protocol import suite

from .helpers import answers, oracle_of

ATTACKS = [entry.name for entry in Registry().entries("attack")]
ROOM = {"bb-pixel": 2300}
"""Queries for two steps of it; 600 do for the others."""
SMALLER = {
    "gmi": "gmi:steps=60",
    "mi-face": "mi-face:alpha=60",
    "inverse": "inverse:steps=60",
    "wb-robust": "wb-robust:rounds=1",
    "surrogate": "surrogate:queries=60,steps=5,climbs=3",
    "surrogate-label": "surrogate-label:queries=60,steps=5,climbs=3",
}


class Counting(ModuleRecogniser):
    """A target that counts the images which reach it."""

    counted = 0

    def logits(self, images):
        self.counted += len(images)
        return super().logits(images)


def budget_of(name):
    return ROOM.get(name, 600)


def attacked(registry, lab, name, identities=2, each=2, budget=None, defense="topk5", kind=Counting):
    """What an attack answers, the ledger of what it asked, the target behind it and the trials."""
    attack = registry.attack(SMALLER.get(name, name))
    generator = "gan" if attack.adversarial else "vae"
    trials = lab.trials("A", generator, lab.split("A").targets[:identities], each, seed=0)
    target = kind(lab.trained(Role("target"), "A"), lab.engine)
    oracle, ledger = oracle_of(
        target,
        registry.defense(defense) if isinstance(defense, str) else Pipeline((defense,)),
        attack.access,
        len(trials),
        budget or budget_of(name),
    )
    return attack.run(oracle, lab.generator("A", generator), trials), ledger, target, trials


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_answers_every_trial_within_its_budget_and_all_it_sends_is_counted(registry, lab, name):
    found, ledger, target, _ = attacked(registry, lab, name)
    assert found.images.shape == (4, 1, 32, 32)
    assert bool(((found.images >= 0) & (found.images <= 1)).all())
    assert found.converged.shape == (4,)
    assert found.converged.dtype == torch.bool
    assert target.counted == int(ledger.per_trial.sum()) == sum(ledger.by_phase.values())
    assert (target.counted == 0) == (name == "prior")
    assert int(ledger.per_trial.max()) <= budget_of(name)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_repeats_itself_and_lives_on_one_query(registry, lab, name):
    first, again = (attacked(registry, lab, name)[0] for _ in range(2))
    assert torch.equal(first.images, again.images)
    found, ledger, *_ = attacked(registry, lab, name, budget=1)
    assert int(ledger.per_trial.max()) <= 1
    assert bool(found.images.isfinite().all())


def test_without_d_the_target_is_convinced_and_the_evaluator_is_not(registry, lab):
    """Section IV-A: descent on the pixels gives near-copies of the seed."""
    found, _, target, trials = attacked(registry, lab, "pixel", identities=20, each=1)
    seeds = lab.generator("A", "vae").decode(trials.z0)
    people = list(lab.split("A").targets)
    assert float((target.scores(found.images).argmax(1) == trials.labels).float().mean()) >= 0.95
    assert float((lab.evaluator("A").rank_of(found.images, people) == 0).float().mean()) <= 0.3
    assert float((found.images - seeds).square().mean().sqrt()) < 0.05


def test_black_box_descent_on_pixels_follows_the_gradient_at_more_queries_than_there_are_pixels(registry, lab):
    found, ledger, target, trials = attacked(registry, lab, "bb-pixel", identities=2, each=1, defense="none")
    before = target.scores(lab.generator("A", "vae").decode(trials.z0)).gather(1, trials.labels[:, None])
    assert bool((target.scores(found.images).gather(1, trials.labels[:, None]) > before).all())
    assert int(ledger.per_trial.min()) > 2 * 32 * 32


def test_an_attack_that_needs_a_critic_is_skipped_where_there_is_none(tmp_path):
    small = {"attacks": ["gmi:steps=5"], "folds": ["A"], "identities": 1, "trials": 1, "out": tmp_path}
    (skipped,) = mia_bench.evaluate(**small)
    assert skipped.status == "skipped"
    assert "--generator" in skipped.reason
    (done,) = mia_bench.evaluate(**small, generator="gan")
    assert (done.status, done.generator) == ("ok", "gan")


def test_queries_are_shared_within_a_repetition_only(registry, lab):
    """What a repetition finds does not depend on how many others there are."""
    alone, ledger, *_ = attacked(registry, lab, "inverse", identities=4, each=1, budget=50)
    beside, more, _, trials = attacked(registry, lab, "inverse", identities=4, each=3, budget=50)
    assert [len(replicate) for replicate in trials.replicates()] == [4, 4, 4]
    assert torch.equal(alone.images, beside.images[trials.replicates()[0]])
    assert ledger.per_trial.tolist() == [50] * 4
    assert more.per_trial.tolist() == [50] * 12


def own_scores(found, target, trials):
    return target.scores(found.images).gather(1, trials.labels.unsqueeze(1)).squeeze(1)


@pytest.mark.parametrize(("spec", "least"), [("mi-face:alpha=200,rate=2", 2), ("gmi:steps=300", 4)])
def test_white_box_attacks_of_other_works_convince_the_target(registry, lab, spec, least):
    """From a black image the gradient of 1 - f_y vanishes for some people: MI-Face convinces R_tar of the others."""
    found, _, target, trials = attacked(registry, lab, spec, identities=5, each=1)
    assert int((own_scores(found, target, trials) > 0.9).sum()) >= least


def test_mi_face_returns_the_best_image_it_met(registry, lab):
    """With steps far too long it overshoots: algorithm 1 keeps the image of lowest cost."""
    seen = []

    class Watched(Counting):
        def logits(self, images):
            answer = super().logits(images)
            seen.append(answer.detach().softmax(1))
            return answer

    trials = lab.trials("A", "vae", lab.split("A").targets[:6], 1, seed=0)
    target = Watched(lab.trained(Role("target"), "A"), lab.engine)
    none = registry.defense("none")
    oracle, _ = oracle_of(target, none, Access.WHITE_BOX, trials=6, budget=50)
    found = registry.attack("mi-face:rate=20").run(oracle, lab.generator("A", "vae"), trials)
    whole = torch.stack([scores for scores in seen if len(scores) == 6])  # while no trial had ended
    best = whole.gather(2, trials.labels.view(1, 6, 1).expand(len(whole), -1, -1)).squeeze(2).amax(0)
    assert bool((own_scores(found, target, trials) >= best - 1e-5).all())


def test_the_inverse_network_is_asked_with_as_many_scores_as_are_answers(registry):
    inverse = registry.attack("inverse")
    scores = torch.rand(40, 20, generator=torch.Generator().manual_seed(0)).softmax(1)
    asked = inverse._confident(answers(registry.defense("topk5"), scores), torch.arange(20))
    assert ((asked > 0).sum(1) == 5).all()
    assert torch.equal(asked.argmax(1), torch.arange(20))


def test_the_inverse_network_learns_from_scores(registry, lab):
    found, _, target, trials = attacked(registry, lab, "inverse:steps=300", identities=20, each=1, defense="none")
    seeds = target.scores(lab.generator("A", "vae").decode(trials.z0)).gather(1, trials.labels.unsqueeze(1))
    assert float(own_scores(found, target, trials).mean()) > float(seeds.mean()) + 0.1


def recognised(lab, found, identities=20):
    """R_eval's top-1, one trial an identity of fold A."""
    people = list(lab.split("A").targets[:identities])
    return float((lab.evaluator("A").rank_of(found.images, people) == 0).float().mean())


class WrongLabels(Defense):
    """Answers every fifth time or so with some other label."""

    name = "wrong-labels"
    access = Access.LABEL_ONLY
    withholds = True

    def release(self, scores, rng):
        lie = torch.rand(len(scores), 1, generator=rng) < 0.2
        label = torch.where(lie, torch.randint(scores.shape[1], lie.shape, generator=rng), scores.argmax(1, True))
        return torch.full_like(scores, torch.nan).scatter(1, label, 1.0)


class Refusing(Defense):
    """Answers nobody."""

    name = "refusing"
    withholds = True
    refuses = True

    def release(self, scores, rng):
        return torch.full_like(scores, torch.nan)


@pytest.mark.parametrize(("defense", "least"), [("labelonly", 0.75), (WrongLabels(), 0.5)])
def test_boundary_repulsion_lives_on_few_labels_and_outvotes_wrong_ones(registry, lab, defense, least):
    found, ledger, *_ = attacked(registry, lab, "brep", identities=20, each=1, budget=500, defense=defense)
    assert recognised(lab, found) >= least
    assert set(ledger.by_phase) == {"search", "vote"}


def test_boundary_repulsion_fails_where_the_label_is_never_seen_and_drops_nobody(registry, lab):
    class Silent(Counting):
        def logits(self, images):
            return super().logits(images) - 1e3 * (torch.arange(20) == 0)

    found, ledger, _, trials = attacked(
        registry, lab, "brep", identities=3, each=1, budget=300, defense="labelonly", kind=Silent
    )
    unreached = trials.labels == 0
    assert not bool(found.converged[unreached].any())
    assert bool(found.converged[~unreached].any())
    seeds = lab.generator("A", "vae").decode(trials.z0)
    assert torch.allclose(found.images[unreached], seeds[unreached], atol=1e-4)
    assert int(ledger.per_trial.max()) <= 300


@pytest.mark.parametrize("name", ["brep", "cmaes", "look-alike", "ortho"])
def test_a_service_that_refuses_everything_is_survived(registry, lab, name):
    found, ledger, *_ = attacked(registry, lab, name, budget=300, defense=Refusing())
    assert int(ledger.refused.sum()) == int(ledger.per_trial.sum())
    assert not bool(found.converged.any())


@pytest.mark.parametrize("name", ["brep", "cmaes", "look-alike", "ortho"])
def test_an_attack_that_says_it_has_converged_has_convinced_the_target(registry, lab, name):
    found, _, target, trials = attacked(registry, lab, name, identities=20, each=1, budget=300, defense="none")
    assert bool(found.converged.any())
    taken = target.scores(found.images).argmax(1) == trials.labels
    assert float(taken[found.converged].float().mean()) >= 0.9


class Narrow:
    """A generator of three dimensions: the first three of another's."""

    latent = 3

    def __init__(self, whole):
        self.whole, self.micro_batch = whole, whole.micro_batch

    def decode(self, z):
        return self.whole.decode(torch.nn.functional.pad(z, (0, self.whole.latent - 3)))

    def encode(self, images):
        return self.whole.encode(images)[:, :3]


@pytest.mark.parametrize("name", suite.load("v1").attacks)
def test_a_suite_runs_with_generators_of_few_dimensions(registry, lab, name):
    """Directions beyond those that there are are left out."""
    attack = registry.attack(SMALLER.get(name, name))
    whole = lab.trials("A", "vae", lab.split("A").targets[:3], 1, seed=0)
    trials = dataclasses.replace(whole, z0=whole.z0[:, :3])
    target = ModuleRecogniser(lab.trained(Role("target"), "A"), lab.engine)
    oracle, _ = oracle_of(target, registry.defense("none"), attack.access, trials=3, budget=300)
    attack.check(3)
    found = attack.run(oracle, Narrow(lab.generator("A", "vae")), trials)
    assert bool(((found.images >= 0) & (found.images <= 1)).all())


def test_the_poincare_loss_has_its_share_where_all_scores_are_answers(registry, lab):
    for defense, equal in (("none", False), ("topk5", True)):
        both, margin_only = (
            attacked(registry, lab, spec, budget=300, defense=defense)[0].images
            for spec in ("ortho", "ortho:poincare=0")
        )
        assert torch.equal(both, margin_only) is equal


def test_a_label_that_is_released_alone_is_not_tied_with_those_it_beat(registry):
    scores = torch.tensor([[0.45, 0.35, 0.2], [0.3, 0.4, 0.3]])
    y = answers(registry.defense("topk1"), scores)
    L = margin(log_scores(y), torch.tensor([0, 0]))
    assert L[0] < 0 < L[1]
    nobody = torch.full((1, 3), torch.nan)
    assert margin(log_scores(nobody), torch.tensor([0])).tolist() == [0]


def test_losses_of_scores_are_those_of_the_logits_behind_them():
    logits = 3 * torch.randn(50, 20, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 20
    for loss in (margin, poincare):
        assert torch.allclose(loss(log_scores(logits.softmax(1)), labels), loss(logits, labels), atol=1e-3)
        better = logits + 3 * torch.nn.functional.one_hot(labels, 20)
        assert bool((loss(better, labels) < loss(logits, labels)).all())


@pytest.mark.parametrize("shape", [(32, 32), (40, 24)])
def test_a_crop_is_an_affine_sampling(shape):
    draw = torch.Generator().manual_seed(0)
    images, by = torch.rand(8, 1, *shape, generator=draw), 0.2 * torch.rand(8, 3, generator=draw) - 0.1
    theta = torch.zeros(8, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 + by[:, 0]
    theta[:, :, 2] = 2 * by[:, 1:]  # the grid spans 2
    grid = torch.nn.functional.affine_grid(theta, list(images.shape), align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    assert torch.allclose(cropped(images, by), expected, atol=1e-5)


@pytest.mark.parametrize("defense", ["topk1", "noise0.05"])
def test_cma_es_needs_neither_all_scores_nor_exact_ones(registry, lab, defense):
    found, *_ = attacked(registry, lab, "cmaes", identities=20, each=1, budget=600, defense=defense)
    assert recognised(lab, found) >= 0.65


def test_cma_es_goes_on_past_the_papers_stop_rule(registry, lab):
    found, _, target, trials = attacked(registry, lab, "cmaes", identities=5, each=1, budget=1000, defense="none")
    assert bool((own_scores(found, target, trials) > 0.999).all())


def test_the_robust_white_box_attack_convinces_the_evaluator_where_the_papers_does_not(registry, lab):
    robust, ledger, *_ = attacked(registry, lab, "wb-robust", identities=20, each=1, budget=300)
    paper, *_ = attacked(registry, lab, "wb", identities=20, each=1, budget=300)
    assert recognised(lab, robust) >= max(0.9, recognised(lab, paper))
    assert set(ledger.by_phase) == {"screening", "search", "selection"}


def test_the_floor_asks_nothing_and_looks_like_nobody(registry, lab):
    found, ledger, *_ = attacked(registry, lab, "prior", identities=20, each=1)
    assert int(ledger.per_trial.sum()) == 0
    assert recognised(lab, found) <= 0.2


def test_the_look_alike_is_a_photo_of_q1_that_the_target_takes_for_the_identity(registry, lab):
    found, ledger, target, trials = attacked(
        registry, lab, "look-alike", identities=20, each=1, budget=100, defense="labelonly"
    )
    assert all(any(torch.equal(image, photo) for photo in trials.public.images) for image in found.images)
    assert ledger.per_trial.tolist() == [100] * 20
    taken = target.scores(found.images).argmax(1) == trials.labels
    assert float(taken[found.converged].float().mean()) >= 0.75
