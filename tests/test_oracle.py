"""Access, budget and the ledger."""

import pytest
import torch
from torch import nn

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
    Offers,
    Oracle,
    Pipeline,
    bounded,
)


def make(registry, lab, access=Access.SCORES, defense="none", budget=100, trials=4):
    target = ModuleRecogniser(lab._trained("target", "A"), lab.engine)
    return Oracle(
        target,
        registry.defense(defense),
        access=access,
        trials=trials,
        budget=budget,
        rng=torch.Generator().manual_seed(0),
    )


def images(n):
    return torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(n))


def test_each_image_is_counted_for_its_trial_and_phase(registry, lab):
    oracle = make(registry, lab)
    oracle.scores(images(5), torch.tensor([0, 0, 1, 3, 3]), "sigma")
    oracle.labels(images(2), torch.tensor([3, 2]))
    assert oracle.ledger.per_trial.tolist() == [2, 1, 1, 3]
    assert oracle.ledger.by_phase == {"search": 2, "sigma": 5}
    assert oracle.remaining().tolist() == [98, 99, 99, 97]


def test_a_call_past_the_budget_is_refused_whole(registry, lab):
    oracle = make(registry, lab, budget=3)
    oracle.scores(images(3), torch.tensor([0, 0, 1]))
    with pytest.raises(BudgetExceededError):
        oracle.scores(images(3), torch.tensor([0, 0, 2]))
    assert oracle.ledger.per_trial.tolist() == [2, 1, 0, 0]


def test_black_box_access_gives_neither_logits_nor_gradients(registry, lab):
    oracle = make(registry, lab)
    with pytest.raises(AccessError):
        oracle.logits(images(1), torch.tensor([0]))
    asked = images(2).requires_grad_()
    assert not oracle.scores(asked, torch.tensor([0, 1])).requires_grad
    assert oracle.ledger.per_trial.sum() == 2


def test_no_attribute_of_the_oracle_leads_to_the_network(registry, lab):
    oracle = make(registry, lab)
    seen, todo = set(), [oracle]
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        assert not isinstance(thing, nn.Module | ModuleRecogniser)
        if hasattr(thing, "__dict__"):
            todo += vars(thing).values()
    assert len(seen) > 5


def test_label_only_access_and_label_only_defense_give_no_scores(registry, lab):
    for oracle in (make(registry, lab, access=Access.LABEL_ONLY), make(registry, lab, defense="labelonly")):
        with pytest.raises(AccessError):
            oracle.scores(images(1), torch.tensor([0]))
        labels = oracle.labels(images(3), torch.tensor([0, 1, 2]))
        assert labels.dtype == torch.int64
        assert oracle.ledger.per_trial.tolist() == [1, 1, 1, 0]


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
    target = ModuleRecogniser(lab._trained("target", "A"), lab.engine)
    oracle = Oracle(
        target,
        registry.defense("none"),
        access=Access.SCORES,
        trials=2,
        budget=10,
        budgets=(2, 4, 10),
        offers=offers,
        rng=torch.Generator(),
    )
    assert oracle.budgets == (2, 4, 10)
    oracle.scores(images(3), torch.tensor([0, 0, 0]))
    oracle.offer(torch.full((1, 1, 32, 32), 0.5), torch.tensor([0]))
    oracle.scores(images(2), torch.tensor([0, 0]))
    judged = offers.final(torch.ones(2, 1, 32, 32), oracle.ledger.per_trial)
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
    oracle = Oracle(target, pipeline, access=Access.LABEL_ONLY, trials=1, budget=9, rng=torch.Generator())
    assert oracle.labels(images(2), torch.tensor([0, 0])).tolist() == [0, REFUSED]
    assert (oracle.ledger.refused, oracle.ledger.per_trial.tolist()) == (1, [2])
    assert bounded(torch.tensor([[torch.nan, torch.nan], [0.9, torch.nan]])).tolist() == [
        [0.5, 0.5],
        [pytest.approx(0.9), pytest.approx(0.1)],
    ]
