"""A defense is a service: it may see images, remember callers, prepare itself, or train; accounts are counted."""

from pathlib import Path

import pytest
import torch

from mia_bench import Access, Attack, Reconstructions, evaluate
from mia_bench.bench.oracle import open_oracle
from mia_bench.board.board import make
from mia_bench.plugin import AccessError, ComponentError, Defense, Pipeline, Query

PLUGINS = Path(__file__).parent / "plugins"


def measured(tmp_path, defense, attack, *plugins, **asked):
    """The record of one attack on fold A against one defense of the plugins."""
    asked = {"identities": 2, "trials": 1, "budget": 40} | asked
    files = [PLUGINS / f"{name}.py" for name in plugins]
    records = evaluate(defense, attacks=attack, folds=["A"], plugins=files, out=tmp_path, **asked)
    found = records[-1]
    assert found.status == "ok", found.reason
    return found


@pytest.mark.parametrize("name", ["mirror", "image_cache", "quota", "shield"])
def test_such_plugins_take_at_most_20_lines(name):
    lines = (PLUGINS / f"{name}.py").read_text().split("class ", 1)[1].splitlines()
    assert len([line for line in lines if line.strip()]) <= 20


@pytest.mark.parametrize("allowed", [100, 40])
def test_what_a_quota_buys_does_not_depend_on_how_many_people_are_attacked(tmp_path, allowed):
    spec = f"quota:n={allowed}"
    few = measured(tmp_path / "few", spec, "ortho", "quota", identities=1, trials=1, budget=80)
    many = measured(tmp_path / "many", spec, "ortho", "quota", identities=5, trials=2, budget=80)
    shares = [found.queries.refused / found.queries.total for found in (few, many)]
    assert shares[0] == shares[1] == max(0, 80 - allowed) / 80
    assert many.queries.accounts == 10
    assert many.utility.refused == 0, "an honest user sends five photos"


def test_who_asks_nothing_is_not_flagged_and_who_is_refused_is_told_apart_from_who_is_misled(tmp_path):
    silent = measured(tmp_path, "quota:n=3", "prior", "quota")
    assert silent.flags == []
    loud = measured(tmp_path, "quota:n=3", "ortho", "quota")
    assert [flag.kind for flag in loud.flags] == ["refuses"]


def test_a_defense_may_see_images(tmp_path):
    plain, mirrored = (measured(tmp_path, name, "bb", "mirror", budget=70) for name in ("none", "mirror"))
    assert plain.top1_by_identity.keys() == mirrored.top1_by_identity.keys()
    assert mirrored.utility.top1 > 0.5, "faces are nearly symmetric"
    assert mirrored.utility.log_loss != plain.utility.log_loss


def test_a_defense_may_remember_images(tmp_path):
    found = measured(tmp_path, "image-cache", "look-alike", "image_cache", budget=200)
    plain = measured(tmp_path, "none", "look-alike", budget=200)
    assert found.top1_by_identity == plain.top1_by_identity
    assert "randomised-answers" not in [flag.name for flag in found.flags]


def test_a_defense_may_prepare_itself_from_what_the_target_says_of_the_enrolled(tmp_path):
    found = measured(tmp_path, "shield+topk5", "look-alike", "shield", budget=60)
    assert found.utility.top1 > 0.9


def test_a_trained_defense_stands_beside_none_and_topk(tmp_path):
    records = evaluate(
        ["short", "topk5", "short+topk5"],
        attacks=["wb", "prior"],
        folds=["A"],
        identities=2,
        trials=1,
        budget=20,
        plugins=[PLUGINS / "short_training.py"],
        out=tmp_path,
    )
    assert all(record.status == "ok" for record in records), [record.reason for record in records]
    assert {row.defense for row in make(records).standings.rows} == {"none", "short", "topk:k=5", "short+topk:k=5"}
    by_pair = {(record.defense, record.attack): record for record in records}
    weights = [by_pair[name, "wb"].per_identity for name in ("none", "topk:k=5", "short", "short+topk:k=5")]
    assert weights[0] == weights[1], "who holds the weights is not bound by the outputs"
    assert [row.target_score for row in weights[2]] != [row.target_score for row in weights[0]], "other weights"
    assert weights[2] == weights[3]
    assert by_pair["short", "prior"].utility.top1 < by_pair["none", "prior"].utility.top1


def test_two_stages_that_train_are_refused(tmp_path):
    with pytest.raises(Exception, match=r"both train the target's network"):
        evaluate("short+short:steps=3", plugins=[PLUGINS / "short_training.py"], out=tmp_path)


class Listening:
    """A service that keeps what it was asked."""

    def __init__(self):
        self.callers = []

    def __call__(self, query):
        self.callers += query.callers.tolist()
        return torch.full((len(query), 3), 1 / 3)


def opened(services, replicate, budget=10):
    return open_oracle(
        services,
        None,
        access=Access.SCORES,
        leaves=Access.SCORES,
        replicate=torch.tensor(replicate),
        budgets=(budget,),
        image=(4, 4),
    )


def test_accounts_are_opened_counted_and_belong_to_their_trial():
    service = Listening()
    oracle, ledger = opened([service], [0, 0])
    oracle.scores(torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]))
    more = oracle.account(torch.tensor([1, 1]))
    oracle.labels(torch.zeros(2, 1, 4, 4), torch.tensor([1, 1]), account=more)
    assert service.callers == [0, 1, *more.tolist()]
    assert len(set(service.callers)) == 4
    assert (ledger.accounts, ledger.per_trial.tolist()) == (4, [1, 3])
    with pytest.raises(AccessError, match="another trial"):
        oracle.scores(torch.zeros(1, 1, 4, 4), torch.tensor([0]), account=more[:1])
    with pytest.raises(AccessError):
        oracle.scores(torch.zeros(1, 1, 4, 4), torch.tensor([0]), account=torch.tensor([99]))


def test_each_repetition_has_a_service_of_its_own():
    services = [Listening(), Listening()]
    oracle, _ = opened(services, [0, 1, 0, 1])
    oracle.scores(torch.zeros(5, 1, 4, 4), torch.tensor([0, 1, 2, 3, 1]))
    assert [service.callers for service in services] == [[0, 2], [1, 3, 1]]


class Spread(Attack):
    """Sends each image from a new account."""

    name = "spread"

    def run(self, oracle, generator, trials):
        every = torch.arange(len(trials))
        images = generator.decode(trials.z0)
        for _ in range(oracle.budget):
            oracle.scores(images, every, account=oracle.account(every))
        return Reconstructions(images, torch.zeros(len(trials), dtype=torch.bool))


def test_an_attack_that_opens_accounts_gets_past_a_quota_and_the_record_counts_them(tmp_path):
    found = measured(tmp_path, "quota:n=1", Spread(), "quota", budget=6)
    assert found.queries.refused == 0
    assert found.queries.accounts == 2 * (1 + 6)


class Wrong(Defense):
    """Answers for fewer images than it is asked about."""

    name = "wrong"

    def wrap(self, service, prepared, rng):
        return lambda query: service(query)[:-1]


def test_a_wrapped_answer_is_checked_at_the_door():
    service = Pipeline([Wrong()]).wrap(Listening(), [None], torch.Generator())
    with pytest.raises(ComponentError, match="wrong returned shape"):
        service(Query(torch.zeros(3, 1, 4, 4), torch.arange(3)))
