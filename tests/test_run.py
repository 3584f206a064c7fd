"""The main job, end to end, at a reduced size: two people a fold, two trials."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import mia_bench
from mia_bench.bench.executor import InProcess
from mia_bench.bench.planning import execute, plan
from mia_bench.bench.registry import Registry
from mia_bench.plugin.errors import RequestError
from mia_bench.protocol import model as protocol
from mia_bench.records import record

from .helpers import mia, refused

SMALL = ["--identities", 2, "--trials", 2, "--budget", 700]

BROKEN = """
import torch
from mia_bench import Defense

class Broken(Defense):
    name = "broken"
    def release(self, scores, rng):
        raise RuntimeError("no luck")
"""


def comparable(found):
    """A record without what may differ between two runs of one cell."""
    timed = {"wall_s": True, "finished_at": True, "environment": True, "results": {"utility": {"cost"}}}
    return found.model_dump(exclude=timed)


def stored(out, found):
    """The file of a record that was printed, as JSON."""
    return json.loads((out / f"{found['cell_id']}.json").read_text())


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One small run of the README's main job."""
    out = tmp_path_factory.mktemp("small")
    result = mia("run", "--defense", "topk5", *SMALL, "--out", out, "--json")
    assert result.returncode == 0, result.stderr
    return out, json.loads(result.stdout)


def test_records_hold_what_others_rely_on(small):
    out, records = small
    assert [(r["defense"], r["attack"]) for r in records] == [
        ("none", "wb"),
        ("none", "bb"),
        ("topk:k=5", "wb"),
        ("topk:k=5", "bb"),
    ]
    for found in records:
        assert found["schema"] == stored(out, found)["schema"] == 2
        assert found["status"] == "ok"
        assert {"top1", "top5", "ci95"} <= set(found["attack_accuracy"])
        assert {"top1", "top5", "real_top1"} <= set(found["evaluators"]["reval"])
        assert {"mean", "median", "total", "budget", "by_phase"} <= set(found["queries"])
        assert {"top1", "top5", "log_loss", "ece", "auc", "refused", "cost"} <= set(found["utility"])
        assert found["queries"]["total"] == sum(found["queries"]["by_phase"].values())
        assert found["queries"]["total"] == sum(row["queries"] * row["trials"] for row in found["per_identity"])
        assert len(found["per_identity"]) == 4
        assert {row["fold"] for row in found["per_identity"]} == {"A", "B"}
        assert found["environment"]["micro_batch"] > 0
        kept = record.read(out / f"{found['cell_id']}.json")
        assert json.loads(json.dumps(kept.flat())) == found
        assert (out / f"{kept.request.attempt_id}.safetensors").exists()
    assert (out / "gallery.png").read_bytes().startswith(b"\x89PNG")


def test_defenses_are_paired_and_white_box_ignores_outputs(small):
    _, (none_wb, none_bb, topk_wb, topk_bb) = small
    assert none_wb["per_identity"] == topk_wb["per_identity"]
    floors = [[row["floor"] for row in r["per_identity"]] for r in (none_wb, none_bb, topk_wb, topk_bb)]
    assert floors[0] == floors[1] == floors[2] == floors[3]


def test_the_same_seed_gives_the_same_records_and_another_seed_others(small, tmp_path):
    out, _ = small
    first = record.read_folder(out)
    again = mia_bench.evaluate("topk5", identities=2, trials=2, budget=700, out=tmp_path)
    by_id = {r.cell_id: r for r in again}
    assert [comparable(r) for r in first] == [comparable(by_id[r.cell_id]) for r in first]
    other = mia_bench.evaluate(attacks=["bb"], identities=2, trials=2, budget=700, seed=1, out=tmp_path)
    same = next(r for r in first if r.cell_id in by_id and r.attack == "bb" and r.defense == "none")
    assert other[0].per_identity != same.per_identity


def test_a_trial_does_not_depend_on_the_others(small, tmp_path):
    _, records = small
    alone = mia_bench.evaluate(attacks=["wb"], identities=1, trials=2, budget=700, out=tmp_path)[0]
    both = [row for row in records[0]["per_identity"] if row["identity"] in {r.identity for r in alone.per_identity}]
    assert [row["queries"] for row in both] == [row.queries for row in alone.per_identity]


def test_finished_cells_are_not_run_again(small):
    out, records = small
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("*.json")}
    result = mia("run", "--defense", "topk5", *SMALL, "--out", out)
    assert result.returncode == 0
    assert result.stderr.count("already done") == 4
    assert {file.name: file.stat().st_mtime_ns for file in out.glob("*.json")} == before
    assert len(before) == len(records)
    assert "topk:k=5" in result.stdout
    assert "R_eval" in result.stdout
    assert "Too few identities" in result.stdout
    assert "topk:k=5: bb" not in result.stdout, "no verdict from four identities"


def test_show_prints_the_table_again(small):
    out, records = small
    result = mia("show", out)
    assert result.returncode == 0
    assert "none against" not in result.stdout
    assert f"{100 * records[0]['attack_accuracy']['top1']:.1f}%" in result.stdout
    as_json = mia("show", out, "--json")
    assert {r["cell_id"] for r in json.loads(as_json.stdout)} == {r["cell_id"] for r in records}


def test_a_label_only_defense_skips_attacks_that_need_scores(tmp_path):
    result = mia("run", "-d", "labelonly", "-a", "bb", "--fold", "A", *SMALL, "--out", tmp_path, "--json")
    assert result.returncode == 0
    skipped = json.loads(result.stdout)[1]
    assert skipped["status"] == "skipped"
    assert "label-only" in skipped["reason"]


def test_a_failing_defense_is_an_error_record_and_the_others_run(tmp_path):
    plugin = tmp_path / "broken.py"
    plugin.write_text(BROKEN)
    arguments = ["run", "-d", "broken", "-d", "topk5", "-a", "bb", "--fold", "A", *SMALL, "--plugin", plugin]
    result = mia(*arguments, "--out", tmp_path / "out", "--json")
    assert result.returncode == 1, result.stderr
    by_defense = {r["defense"]: r for r in json.loads(result.stdout)}
    assert by_defense["broken"]["status"] == "error"
    assert "defense broken raised RuntimeError: no luck" in by_defense["broken"]["reason"]
    assert by_defense["topk:k=5"]["status"] == by_defense["none"]["status"] == "ok"
    assert "Traceback" not in result.stderr

    plugin.write_text(BROKEN.replace('raise RuntimeError("no luck")', "return scores"))
    mended = mia(*arguments, "--out", tmp_path / "out", "--json")
    assert mended.returncode == 0, mended.stderr
    assert [r["status"] for r in json.loads(mended.stdout)] == ["ok"] * 3
    assert mended.stderr.count("already done") == 2


def test_killed_and_started_again_gives_the_records_of_an_uninterrupted_run(small, tmp_path):
    whole, _ = small
    arguments = [str(a) for a in ("run", "--defense", "topk5", *SMALL, "--out", tmp_path)]
    command = [sys.executable, "-c", "from mia_bench.cli import main; main()", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob("*.json")):
        time.sleep(0.01)  # until the first record is there: the moment is the machine's, not a guess
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    kept = record.read_folder(tmp_path)
    assert 1 <= len(kept) <= 4
    result = mia(*arguments)
    assert result.returncode == 0
    assert result.stderr.count("already done") == len(kept)
    assert list(map(comparable, record.read_folder(tmp_path))) == list(map(comparable, record.read_folder(whole)))


def test_a_budget_below_one_estimate_is_spent_and_counted(tmp_path):
    for budget, sent in ((1, 1), (64, 1), (66, 66), (150, 131)):
        found = mia_bench.evaluate(attacks="bb", folds=["A"], identities=1, trials=2, budget=budget, out=tmp_path)[0]
        assert found.status == "ok"
        assert found.queries.median == sent


def test_an_ok_record_without_results_is_refused(small, tmp_path):
    out, records = small
    whole = stored(out, records[0])
    (tmp_path / "x.json").write_text(json.dumps(whole | {"results": None}))
    refused(mia("show", tmp_path), "x.json", "status is ok without results")
    (tmp_path / "x.json").write_text(json.dumps(whole | {"results": whole["results"] | {"queries": None}}))
    refused(mia("show", tmp_path), "x.json", "results.queries")


def test_of_records_that_differ_in_code_alone_the_newest_counts(small, tmp_path):
    out, records = small
    found = record.read(out / f"{records[0]['cell_id']}.json")
    edited = found.request.attack.model_copy(update={"sources": "0" * 64})
    request = found.request.model_copy(update={"attack": edited})
    before = {"cell_id": request.cell_id, "request": request, "finished_at": "2020-01-01T00:00:00+00:00"}
    for one in (found.model_copy(update=before), found):
        record.write(one, tmp_path)
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert [r.cell_id for r in record.read_folder(tmp_path)] == [found.cell_id]


def test_records_of_other_photos_or_weights_are_not_reused(tmp_path, lab):
    """The cell id covers what a path points to, not the path."""
    registry = Registry()
    for fold in "AB":
        (tmp_path / f"{fold}.safetensors").write_bytes(b"one")
    target = f"checkpoint:path={tmp_path}"
    one = plan(registry, lab.protocol, target=target, attacks=["wb"])[0].cell_id
    assert one == plan(registry, lab.protocol, target=target, attacks=["wb"])[0].cell_id
    (tmp_path / "A.safetensors").write_bytes(b"two")
    assert one != plan(registry, lab.protocol, target=target, attacks=["wb"])[0].cell_id


def test_a_half_written_file_is_never_taken_for_a_record(small, tmp_path):
    _, records = small
    for half in ('{"schema": 1, "cell_', '{"schema": 2, "cell_'):
        (tmp_path / f"{records[0]['cell_id']}.json").write_text(half)
        refused(mia("show", tmp_path), records[0]["cell_id"], "not a mia-bench record")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-d", "tokp5"], ["did you mean 'topk'"]),
        (["-d", "topk999"], ["topk999", "20 classes"]),
        (["-d", "topk0"], ["topk0"]),
        (["-d", "round-1"], ["round-1"]),
        (["-d", "noise-0.1"], ["noise-0.1"]),
        (["-d", "noisenan"], ["noisenan"]),
        (["-a", "bbb"], ["unknown attack 'bbb'", "did you mean 'bb'"]),
        (["-a", "bb:M=8"], ["bb:M=8", "M >= 32"]),
        (["-a", "bb:M=none"], ["M"]),
        (["-a", "bb:sigma2=5"], ["sigma2"]),
        (["--target", "papre"], ["did you mean 'paper'"]),
        (["--fold", "C"], ["no fold 'C'"]),
        (["--identities", 21], ["20 in each fold"]),
        (["--trials", 0], ["--trials 0"]),
        (["--device", "tpu9"], ["tpu9"]),
        (["--plugin", "missing.py"], ["missing.py", "no such file"]),
        (["--defens", "x"], ["--defens"]),
        (["--trials", "many"], ["many"]),
    ],
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(tmp_path, arguments, words):
    refused(mia("run", *arguments, "--out", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


def test_unknown_commands(tmp_path):
    refused(mia("rum"), "unknown command 'rum'", "did you mean 'run'")


def test_an_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    refused(mia("run", *SMALL, "--out", tmp_path / "file" / "out"), "cannot write")


def test_weights_with_another_hash_are_refused(tmp_path):
    source = protocol.BUILT_IN / "orl.toml"
    weights = protocol.BUILT_IN.parent / "weights" / "orl"
    (tmp_path / "w").mkdir()
    for file in weights.iterdir():
        (tmp_path / "w" / file.name).write_bytes(file.read_bytes())
    text = source.read_text().replace('path = "../weights/orl"', 'path = "w"')
    (tmp_path / "mine.toml").write_text(text)
    loaded = protocol.load(str(tmp_path / "mine.toml"))
    assert loaded.sha256 == protocol.load("orl").sha256, "the place of the weights is no part of the protocol"
    content = bytearray((tmp_path / "w" / "A-target.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "w" / "A-target.safetensors").write_bytes(content)
    result = mia("run", "--protocol", tmp_path / "mine.toml", *SMALL, "--out", tmp_path / "out")
    refused(result, "A-target.safetensors", "SHA-256")
    assert not list((tmp_path / "out").glob("*.json"))


def test_an_executor_gets_every_cell(tmp_path):
    submitted = []

    class Watching(InProcess):
        def submit(self, call, /, *arguments):
            submitted.append(arguments[0])
            return super().submit(call, *arguments)

    cells = plan(Registry(), protocol.load("orl"), attacks=["wb"], folds=["A"], identities=1, trials=1, budget=5)
    list(execute(cells, tmp_path, executor=Watching()))
    assert submitted == cells
    with ThreadPoolExecutor(1) as pool:
        again = list(execute(cells, tmp_path / "pool", executor=pool))
    assert [comparable(r) for r in again] == [comparable(r) for r in record.read_folder(tmp_path)]


def test_evaluate_refuses_what_run_refuses(tmp_path):
    with pytest.raises(RequestError, match="did you mean"):
        mia_bench.evaluate("tokp5", out=tmp_path)


def test_help_does_not_import_torch():
    code = "import sys; from mia_bench.cli import cli; cli.main(['--help'], standalone_mode=False)"
    result = subprocess.run(
        [sys.executable, "-c", f"{code}; assert not {{'torch', 'numpy', 'scipy'}} & set(sys.modules), 'heavy'"],
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
