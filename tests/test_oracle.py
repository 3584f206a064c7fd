"""Access, budget and the ledger."""

import pytest
import torch
from torch import nn

from mia_bench.bench.offers import Offers
from mia_bench.bench.oracle import Ledger
from mia_bench.networks.lesson import Role
from mia_bench.plugin import (
    REFUSED,
    Access,
    AccessError,
    BudgetExceededError,
    CallableRecogniser,
    ComponentError,
    Defense,
    Engine,
    ModuleRecogniser,
    Pipeline,
    Recogniser,
    bounded,
)

from .helpers import oracle_of


def make(registry, lab, access=Access.SCORES, defense="none", budget=100, trials=4):
    target = ModuleRecogniser(lab.trained(Role("target"), "A"), lab.engine)
    return oracle_of(target, registry.defense(defense), access, trials, budget)


def images(n):
    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(n))


def test_each_image_is_counted_for_its_trial_and_phase(registry, lab):
    oracle, ledger = make(registry, lab)
    oracle.scores(images(5), torch.tensor([0, 0, 1, 3, 3]), "sigma")
    oracle.labels(images(2), torch.tensor([3, 2]))
    assert ledger.per_trial.tolist() == [2, 1, 1, 3]
    assert ledger.by_phase == {"search": 2, "sigma": 5}
    assert oracle.remaining().tolist() == [98, 99, 99, 97]


def test_a_call_past_the_budget_is_refused_whole(registry, lab):
    oracle, ledger = make(registry, lab, budget=3)
    oracle.scores(images(3), torch.tensor([0, 0, 1]))
    with pytest.raises(BudgetExceededError):
        oracle.scores(images(3), torch.tensor([0, 0, 2]))
    assert ledger.per_trial.tolist() == [2, 1, 0, 0]


def test_black_box_access_gives_neither_logits_nor_gradients(registry, lab):
    oracle, ledger = make(registry, lab)
    with pytest.raises(AccessError):
        oracle.logits(images(1), torch.tensor([0]))
    asked = images(2).requires_grad_()
    assert not oracle.scores(asked, torch.tensor([0, 1])).requires_grad
    assert ledger.per_trial.sum() == 2


def test_no_attribute_of_the_oracle_leads_to_the_network_or_the_ledger(registry, lab):
    oracle, _ = make(registry, lab)
    seen, todo = set(), [oracle]
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        assert not isinstance(thing, nn.Module | Recogniser | Ledger | Defense | Pipeline | torch.Tensor)
        if thing is oracle:
            assert not hasattr(thing, "__dict__")
            todo += [getattr(oracle, name) for name in dir(oracle) if not name.startswith("__")]
        elif not isinstance(thing, type):
            todo += vars(thing).values() if hasattr(thing, "__dict__") else []
    assert len(seen) > 5


def test_nothing_of_the_oracle_can_be_set_and_no_answer_leads_back_to_the_ledger(registry, lab):
    oracle, ledger = make(registry, lab)
    for name in ("budget", "access", "budgets", "scores", "ledger", "anything"):
        with pytest.raises(AttributeError):
            setattr(oracle, name, 10**9)
    oracle.remaining().fill_(10**9)
    oracle.scores(images(2), torch.tensor([0, 1]))
    oracle.scores(images(1), torch.tensor([0])).fill_(0)
    assert oracle.remaining().tolist() == [98, 99, 100, 100]
    assert ledger.per_trial.tolist() == [2, 1, 0, 0]


def test_label_only_access_and_label_only_defense_give_no_scores(registry, lab):
    for oracle, ledger in (make(registry, lab, access=Access.LABEL_ONLY), make(registry, lab, defense="labelonly")):
        with pytest.raises(AccessError):
            oracle.scores(images(1), torch.tensor([0]))
        labels = oracle.labels(images(3), torch.tensor([0, 1, 2]))
        assert labels.dtype == torch.int64
        assert ledger.per_trial.tolist() == [1, 1, 1, 0]


def test_a_callable_target_is_checked_at_the_door():
    engine = Engine.on("cpu")
    good = CallableRecogniser(lambda x: torch.full((len(x), 3), 1 / 3), 3, engine)
    assert good.scores(images(4)).shape == (4, 3)
    for bad in (lambda x: torch.ones(len(x), 2), lambda x: torch.full((len(x), 3), torch.nan)):
        with pytest.raises(ComponentError, match="the target answered"):
            CallableRecogniser(bad, 3, engine).scores(images(2))


def test_an_offer_counts_for_every_budget_it_was_made_within(registry, lab):
    start = torch.zeros(2, 1, 32, 32)
    offers = Offers((2, 4, 10), start)
    target = ModuleRecogniser(lab.trained(Role("target"), "A"), lab.engine)
    oracle, ledger = oracle_of(target, registry.defense("none"), trials=2, budgets=(2, 4, 10), offers=offers)
    assert oracle.budgets == (2, 4, 10)
    oracle.scores(images(3), torch.tensor([0, 0, 0]))
    oracle.offer(torch.full((1, 1, 32, 32), 0.5), torch.tensor([0]))
    oracle.scores(images(2), torch.tensor([0, 0]))
    judged = offers.final(torch.ones(2, 1, 32, 32), ledger.per_trial)
    assert judged[:, 0].mean((1, 2, 3)).tolist() == [0, 0.5, 1], "nothing yet, the offer, what was handed in"
    assert judged[:, 1].mean((1, 2, 3)).tolist() == [1, 1, 1], "a trial that sent nothing had its answer all along"


class Doorman(Defense):
    """Refuses images it is not sure of."""

    name = "doorman"
    refuses = True

    def release(self, scores, rng):
        return scores.where(scores.amax(1, keepdim=True) > 0.5, torch.nan)


def test_a_refused_image_is_a_query_without_an_answer(registry, lab):
    pipeline = Pipeline((Doorman(), *registry.defense("round1+labelonly").stages))
    target = CallableRecogniser(lambda x: torch.tensor([[0.9, 0.1], [0.5, 0.5]])[: len(x)], 2, Engine.on("cpu"))
    oracle, ledger = oracle_of(target, pipeline, Access.LABEL_ONLY, budget=9)
    assert oracle.labels(images(2), torch.tensor([0, 0])).tolist() == [0, REFUSED]
    assert (int(ledger.refused.sum()), ledger.per_trial.tolist()) == (1, [2])
    assert bounded(torch.tensor([[torch.nan, torch.nan], [0.9, torch.nan]])).tolist() == [
        [0.5, 0.5],
        [pytest.approx(0.9), pytest.approx(0.1)],
    ]
