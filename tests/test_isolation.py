"""What a plugin does reaches no other cell, nor the caller; what is resumed is what was asked."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import PrivateAttr

from mia_bench import Access, Attack, Defense, Reconstructions, RequestError, Target, TrainedDefense, evaluate
from mia_bench.bench import attempting, cell, planning
from mia_bench.bench.laboratory import Laboratory
from mia_bench.bench.oracle import open_oracle
from mia_bench.bench.registry import Registry
from mia_bench.bench.runner import finished_record
from mia_bench.plugin import AccessError, BudgetExceededError, CallableRecogniser, ModuleRecogniser
from mia_bench.records import record as records

from .helpers import mia, refused

ASKED = {"folds": ["A"], "identities": 2, "trials": 1, "budget": 30}


def figures(found):
    """What must be equal: all but times."""
    content = json.loads(found.to_json())
    content["results"]["utility"].pop("cost")
    return content["request"], content["results"]


class Vandal(Attack):
    """Changes whatever it can reach."""

    name = "vandal"

    def run(self, oracle, generator, trials):
        images = generator.decode(trials.z0).clone()
        trials.public.images.sub_(0.5).mul_(2)
        trials.z0.zero_()
        trials.labels.zero_()
        for network in vars(generator).values():
            if isinstance(network, torch.nn.Module):
                for parameter in network.parameters():
                    parameter.data.zero_()
        trials.streams.randn(torch.arange(len(trials)), 5)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.manual_seed(99)
        random.seed(99)
        os.chdir("/")
        os.environ["OMP_NUM_THREADS_OF_VANDAL"] = "9"
        print("a plugin's words")
        return Reconstructions(images, torch.zeros(len(trials), dtype=torch.bool))


def test_an_attack_that_changes_all_it_reaches_changes_no_other_cell(tmp_path, capsys):
    alone = evaluate(attacks=["wb", "bb:M=32"], out=tmp_path / "alone", **ASKED)
    here, drawn = os.getcwd(), torch.get_rng_state()
    beside = evaluate(attacks=[Vandal(), "wb", "bb:M=32"], out=tmp_path / "beside", **ASKED)
    assert beside[0].status == "ok", beside[0].reason
    assert [figures(found) for found in alone] == [figures(found) for found in beside[1:]]
    assert os.getcwd() == here
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() is torch.float32
    assert "OMP_NUM_THREADS_OF_VANDAL" not in os.environ
    said = capsys.readouterr()
    assert "a plugin's words" in said.err
    assert "a plugin's words" not in said.out


def test_the_callers_world_is_the_callers(tmp_path):
    plain = evaluate(attacks="wb", out=tmp_path / "plain", **ASKED)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            torch.manual_seed(5)
            np.random.seed(5)
            expected = torch.rand(3)
            torch.manual_seed(5)
            within = evaluate(attacks="wb", out=tmp_path / "within", **ASKED)
            assert torch.equal(torch.rand(3), expected)
            assert not torch.is_grad_enabled()
            assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert figures(plain[0]) == figures(within[0])


class Tiring(Target):
    """Answers well for its first images, then alike for all."""

    name = "tiring"

    def enrol(self, fitting):
        module, asked = ModuleRecogniser(fitting.trained(), fitting.engine), [0]

        def answer(images):
            asked[0] += len(images)
            scores = module.scores(images)
            return scores if asked[0] < 500 else torch.full_like(scores, 1 / scores.shape[1])

        return CallableRecogniser(answer, fitting.photos.classes, fitting.engine)


def test_a_target_that_remembers_forgets_between_cells(tmp_path):
    asked = {**ASKED, "budget": 150, "target": Tiring()}
    alone = evaluate(attacks=["look-alike"], out=tmp_path / "alone", **asked)
    after = evaluate(attacks=["bb:M=32", "look-alike"], out=tmp_path / "after", **asked)
    assert figures(alone[0]) == figures(after[1])


def test_nothing_of_the_oracle_can_be_set():
    oracle, ledger = open_oracle(
        [lambda query: torch.full((len(query), 2), 0.5)],
        None,
        access=Access.SCORES,
        leaves=Access.SCORES,
        replicate=torch.tensor([0]),
        budgets=(3, 5),
        image=(4, 4),
    )
    for name, value in (("access", Access.WHITE_BOX), ("budget", 10**9), ("budgets", (9,)), ("ledger", None), ("x", 1)):
        with pytest.raises(AttributeError):
            setattr(oracle, name, value)
    assert not hasattr(oracle, "ledger")
    oracle.remaining().fill_(10**6)
    oracle.scores(torch.zeros(5, 1, 4, 4), torch.zeros(5, dtype=torch.int64))
    with pytest.raises(BudgetExceededError):
        oracle.scores(torch.zeros(1, 1, 4, 4), torch.tensor([0]))
    assert ledger.per_trial.tolist() == [5]


class Lying(torch.Tensor):
    """Says that it is shorter than it is."""

    def __len__(self):
        return 1


def bad_images():
    good = torch.zeros(2, 1, 4, 4)
    yield "nan", good / 0
    yield "infinite", good + torch.inf
    yield "5,000", good + 5000
    yield "-5,000", good - 5000
    yield "float64", good.double()
    yield "uint8", good.to(torch.uint8)
    yield "shape", torch.zeros(2, 1, 5, 4)
    yield "colour", torch.zeros(2, 3, 4, 4)
    yield "subclass", torch.zeros(2, 1, 4, 4).as_subclass(Lying)
    yield "list", [[0.0]]


@pytest.mark.parametrize(("name", "images"), list(bad_images()))
def test_images_are_plain_finite_and_in_range(name, images):
    oracle, ledger = open_oracle(
        [lambda query: torch.full((len(query), 2), 0.5)],
        None,
        access=Access.SCORES,
        leaves=Access.SCORES,
        replicate=torch.tensor([0, 0]),
        budgets=(9,),
        image=(4, 4),
    )
    for call in (oracle.scores, oracle.labels, oracle.offer):
        with pytest.raises(AccessError):
            call(images, torch.tensor([0, 1]))
    for owner in (torch.tensor([0, -1]), torch.tensor([0, 2]), torch.tensor([0.0, 1.0]), torch.tensor([0]), [0, 1]):
        with pytest.raises(AccessError):
            oracle.offer(torch.zeros(2, 1, 4, 4), owner)
    assert ledger.per_trial.sum() == 0


class Odd(Attack):
    """Returns what it is told to."""

    name = "odd"
    access = Access.LABEL_ONLY
    how: str

    def run(self, oracle, generator, trials):
        images, n = generator.decode(trials.z0), len(trials)
        converged = torch.zeros(n, dtype=torch.bool)
        return {
            "converged": Reconstructions(images, torch.full((n,), 7)),
            "double": Reconstructions(images.double(), converged),
            "nan": Reconstructions(images / 0, converged),
            "grad": Reconstructions(images.clone().requires_grad_(), converged),
        }[self.how]


def test_what_an_attack_returns_is_checked(tmp_path):
    found = {how: evaluate(attacks=Odd(how=how), out=tmp_path, **ASKED)[0] for how in ("converged", "double", "nan")}
    assert {name: record.status for name, record in found.items()} == dict.fromkeys(found, "error")
    assert "converged torch.int64" in found["converged"].reason
    assert evaluate(attacks=Odd(how="grad"), out=tmp_path, **ASKED)[0].status == "ok"


class Leaving(Attack):
    """Ends things in its own way."""

    name = "leaving"
    how: str

    def run(self, oracle, generator, trials):
        class MuteError(Exception):
            def __str__(self):
                raise ValueError("no words")

        raise {
            "exit": SystemExit(3),
            "generator": GeneratorExit(),
            "mute": MuteError(),
            "request": RequestError("mine"),
            "long": ValueError("x" * 2_000_000),
        }[self.how]


@pytest.mark.parametrize("how", ["exit", "generator", "mute", "request", "long"])
def test_however_a_plugin_ends_the_other_cells_go_on(tmp_path, how):
    found = evaluate(attacks=[Leaving(how=how), "prior"], out=tmp_path, **ASKED)
    assert [record.status for record in found] == ["error", "ok"]
    assert 0 < len(found[0].reason) < 3000


class Graphful(Defense):
    """Of natural make: it holds a lock, and its answer requires a gradient."""

    name = "graphful"

    def wrap(self, service, prepared, rng):
        import threading

        lock, weight = threading.Lock(), torch.ones(1, requires_grad=True)

        def answer(query):
            with lock, torch.enable_grad():
                return (service(query) * weight).clamp(0, 1)

        return answer


def test_defenses_of_natural_make_work(tmp_path):
    found = evaluate(Graphful(), attacks="bb:M=32", out=tmp_path, **ASKED)
    assert [record.status for record in found] == ["ok", "ok"], found[-1].reason
    assert found[0].top1_by_identity == found[1].top1_by_identity


def test_objects_are_measured_and_whatever_is_neither_spec_nor_component_is_refused(tmp_path):
    found = evaluate(Graphful(), attacks=[Vandal()], out=tmp_path, **ASKED)
    assert [record.defense for record in found] == ["none", "graphful"]
    for wrong in (3, None, Graphful, object(), b"topk5"):
        with pytest.raises(RequestError, match=r"neither a spec|is a class"):
            evaluate(wrong, out=tmp_path, **ASKED)
        with pytest.raises(RequestError, match=r"neither a spec|is a class"):
            evaluate(attacks=wrong, out=tmp_path, **ASKED)


def planned(*attacks, plugins=(), protocol=None, **asked):
    loaded = protocol or planning.open_protocol("orl")
    return planning.plan(Registry(plugins), loaded, attacks=attacks, **{**ASKED, **asked})


def test_a_records_file_name_is_not_believed(tmp_path):
    first, second = planned("prior", "look-alike")
    evaluate(attacks="prior", out=tmp_path, **ASKED)
    shutil.copy(tmp_path / f"{first.cell_id}.json", tmp_path / f"{second.cell_id}.json")
    assert finished_record(first, tmp_path) is not None
    assert finished_record(second, tmp_path) is None


PLUGIN = """
from mia_bench import Defense
from strength import POWER

class Own(Defense):
    name = "{name}"
    def release(self, scores, rng):
        return scores ** POWER
"""


def test_ids_cover_plugin_files_what_they_import_and_the_version(tmp_path, monkeypatch):
    def ids(*files):
        cells = planning.plan(Registry(files), planning.open_protocol("orl"), defenses=["one", "two"][: len(files)])
        return {made.defense.spec: made.cell_id for made in cells}

    for folder, name in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(PLUGIN.format(name=name).replace("strength", f"strength_{folder}"))
        (tmp_path / folder / f"strength_{folder}.py").write_text("POWER = 2\n")
    files = [tmp_path / folder / "own.py" for folder in "ab"]
    before = ids(*files)
    assert ids(*files) == before
    files[0].write_text(files[0].read_text() + "\n# edited\n")
    edited = ids(*files)
    assert edited["one"] != before["one"], "two files of one name share no module"
    assert edited["two"] == before["two"]
    (tmp_path / "b" / "strength_b.py").write_text("POWER = 3\n")
    assert ids(*files)["two"] != before["two"], "what a plugin imports from beside it"
    monkeypatch.setattr(cell, "mia_bench_version", lambda: "9.9")
    assert ids(*files)["one"] != edited["one"]


def test_changed_judges_or_overridden_defaults_attack_nobody_again(tmp_path, monkeypatch):
    protocol = planning.open_protocol("orl")
    evaluate(attacks="look-alike", out=tmp_path, **ASKED)
    run = protocol.run.model_copy(
        update={"evaluators": ("reval", "lda"), "trials": 77, "budget": 5, "attacks": ("wb",)}
    )
    changed = protocol.model_copy(update={"run": run})
    made = planned("look-alike", protocol=changed)
    assert made[0].request.attempt_id == planned("look-alike")[0].request.attempt_id
    monkeypatch.setattr(attempting, "_attack", lambda *_: pytest.fail("attacked again"))
    monkeypatch.setattr(Laboratory, "target", lambda *_: pytest.fail("the target was asked for"))
    (found,) = planning.execute(made, tmp_path)
    assert found.status == "ok", found.reason
    assert set(found.evaluators) == {"reval", "lda"}


def test_records_that_contradict_themselves_are_refused(tmp_path):
    (found,) = evaluate(attacks="look-alike", out=tmp_path, **ASKED)
    good = json.loads(found.to_json())
    file = tmp_path / "edited.json"

    def refused(change, *words):
        content = json.loads(json.dumps(good))
        change(content)
        file.write_text(json.dumps(content))
        with pytest.raises(RequestError) as told:
            records.read(file)
        for word in ("edited.json", *words):
            assert word in str(told.value)

    file.write_text(json.dumps(good))
    assert records.read(file) == found
    results, rows = (lambda c: c["results"]), (lambda c: c["results"]["rows"])
    refused(lambda c: results(c)["evaluators"]["reval"].update(top1=0.123), "evaluators.reval.top1")
    refused(lambda c: results(c)["evaluators"]["reval"].update(auc=0.123), "evaluators.reval.auc")
    refused(lambda c: results(c)["majority"].update(top1=0.77), "majority.top1")
    refused(lambda c: rows(c)[0].update(top1=0.5 if rows(c)[0]["top1"] != 0.5 else 1.0), "top1")
    refused(lambda c: results(c)["queries"].update(total=-3), "queries")
    refused(lambda c: results(c)["queries"]["by_phase"].update(search=-5), "quer")
    refused(lambda c: results(c).update(budgets=list(reversed(results(c)["budgets"]))), "ascend")
    refused(lambda c: rows(c)[0]["curve"].pop(), "curve")
    refused(lambda c: rows(c)[0]["evaluators"].pop("lda"), "judged by others")
    refused(lambda c: [row.update(held_out=False) for row in rows(c)], "held out")
    refused(lambda c: c["request"].update(budgets=[]), "budgets")
    refused(lambda c: c["request"].update(seed=5), "cell_id")
    refused(lambda c: c.update(schema=99), "schema 99", "update it")
    refused(lambda c: c.update(status="error"), "with results")
    refused(lambda c: c.update(wall_s=-1), "wall_s")


def test_spawned_processes_run_plugin_files(tmp_path):
    plugin = Path(__file__).parent / "plugins" / "mirror.py"
    script = tmp_path / "spawn.py"
    script.write_text(
        "import multiprocessing, sys\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from mia_bench import evaluate\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPoolExecutor(2, mp_context=multiprocessing.get_context('spawn'))\n"
        f"    found = evaluate('mirror', attacks=['look-alike', 'prior'], plugins=[{str(plugin)!r}], folds=['A'],\n"
        "        identities=2, trials=1, budget=30, out=sys.argv[1], executor=pool)\n"
        "    print([record.status for record in found], found[-1].reason)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.stdout.strip() == "['ok', 'ok', 'ok', 'ok']", done.stdout + done.stderr


def test_a_finished_run_is_judged_again_without_asking_the_target(tmp_path):
    evaluate("topk5", attacks=["wb", "look-alike"], out=tmp_path, **ASKED)
    before = {found.cell_id: found for found in records.read_folder(tmp_path)}
    result = mia("judge", tmp_path, "--evaluator", "lda:components=20", "--json")
    assert result.returncode == 0, result.stderr
    after = {found.cell_id: found for found in records.read_folder(tmp_path)}
    assert before.keys() == after.keys()
    for key, found in after.items():
        assert set(found.evaluators) == {*before[key].evaluators, "lda:components=20"}
        assert found.queries == before[key].queries
        assert found.utility == before[key].utility
        assert found.evaluators["reval"] == before[key].evaluators["reval"]


class Halving(Defense):
    """Changes the network that it was lent."""

    name = "halving"

    def prepare(self, enrolment):
        for parameter in enrolment.trained().parameters():
            parameter.data.mul_(0.5)

    def wrap(self, service, prepared, rng):
        return service


class FineTuned(TrainedDefense):
    """Goes on from the protocol's own network."""

    name = "fine-tuned"

    def network(self, fitting):
        return fitting.trained()

    def train(self, network, fitting):
        next(network.parameters()).data.add_(0.01)
        network.eval()


def test_networks_that_are_lent_come_back_as_they_were(tmp_path):
    alone = evaluate("round2", attacks="wb", out=tmp_path / "alone", **ASKED)
    beside = evaluate([Halving(), FineTuned(), "round2"], attacks="wb", out=tmp_path / "beside", **ASKED)
    assert [found.status for found in beside] == ["ok"] * 4, [found.reason for found in beside]
    assert figures(alone[1]) == figures(beside[3])
    assert beside[2].per_identity[0].target_score != beside[0].per_identity[0].target_score


class Remembering(Attack):
    """Hands in what it found the first time it ran."""

    name = "remembering"
    _first: list = PrivateAttr(default_factory=list)

    def run(self, oracle, generator, trials):
        self._first.append(generator.decode(trials.z0) * 0 + len(self._first) / 4)
        return Reconstructions(self._first[-1], torch.zeros(len(trials), dtype=torch.bool))


def test_what_an_attack_keeps_reaches_no_other_cell(tmp_path):
    found = evaluate("topk5", attacks=[Remembering()], out=tmp_path, **ASKED)
    assert found[0].results.metrics == found[1].results.metrics


def test_names_that_are_taken_are_refused(tmp_path):
    liar = type("Liar", (Halving,), {"name": "none", "__module__": __name__})
    twin = type("Twin", (Halving,), {"__module__": __name__})
    for wrong in (liar(), [Halving(), twin()]):
        with pytest.raises(RequestError, match="rename"):
            evaluate(wrong, attacks="prior", out=tmp_path, **ASKED)


def test_helpers_of_one_name_in_two_folders_are_two(tmp_path):
    for folder, name, power in (("a", "one", 1), ("b", "two", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(PLUGIN.format(name=name))
        (tmp_path / folder / "strength.py").write_text(f"POWER = {power}\n")
    registry = Registry(tuple(tmp_path / folder / "own.py" for folder in "ab"))
    scores = torch.tensor([[0.5, 0.25]])
    for name, power in (("one", 1), ("two", 3)):
        (stage,) = registry.defense(name).stages
        assert torch.equal(stage.release(scores, torch.Generator()), scores**power)
    assert "strength" not in sys.modules


@pytest.mark.parametrize(
    "asked",
    [
        {"trials": 10**20},
        {"budget": 10**20},
        {"budget": 20.5},
        {"trials": "2"},
        {"identities": True},
        {"seed": -1},
        {"seed": "0"},
    ],
)
def test_numbers_are_whole_and_within_reason(tmp_path, asked):
    with pytest.raises(RequestError, match="give"):
        evaluate(attacks="prior", out=tmp_path, **{**ASKED, **asked})


def test_an_evaluator_that_fails_loses_no_attempt(tmp_path):
    plugin = tmp_path / "sad.py"
    plugin.write_text(
        "from mia_bench import Evaluator\n\n\nclass Sad(Evaluator):\n    name = 'sad'\n\n"
        "    def fit(self, fitting):\n        raise SystemExit(0)\n"
    )
    out = tmp_path / "run"
    evaluate(attacks="prior", out=out, **ASKED)
    before = {file.name: file.read_bytes() for file in out.glob("*.json")}
    refused(mia("judge", out, "--evaluator", "sad", "--plugin", plugin), "evaluator sad", "SystemExit")
    assert {file.name: file.read_bytes() for file in out.glob("*.json")} == before
