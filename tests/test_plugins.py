"""The plugin door: entry points, files, the README's example."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mia_bench
from mia_bench.bench.registry import Registry
from mia_bench.plugin.errors import RequestError

from .helpers import mia, refused

ROOT = Path(__file__).parent.parent
SMALL = {"identities": 1, "trials": 1, "budget": 300, "folds": ["A"]}


def readme_example() -> str:
    """The Python block under the README's heading "Add a defense"."""
    section = (ROOT / "README.md").read_text().split("## Add a defense", 1)[1]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found
    return found.group(1)


def test_the_readmes_defense_runs_as_written(tmp_path):
    example = readme_example()
    assert len(example.strip().splitlines()) <= 15
    (tmp_path / "mine.py").write_text(example)
    name = re.search(r'name = "(\w+)"', example).group(1)
    records = mia_bench.evaluate(name, plugins=[tmp_path / "mine.py"], attacks=["bb"], out=tmp_path / "out", **SMALL)
    assert [r.status for r in records] == ["ok", "ok"]
    assert records[1].defense == name


def test_a_plugin_whose_check_fails_is_refused_by_name(tmp_path):
    checks = "    def check(self, classes):\n        return 1 / 0\n"
    (tmp_path / "mine.py").write_text(readme_example() + "\n" + checks)
    with pytest.raises(RequestError, match="'sharpen': its check raised ZeroDivisionError"):
        mia_bench.evaluate("sharpen", plugins=[tmp_path / "mine.py"], out=tmp_path / "out", **SMALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The example package installed into a folder of its own, as pip would."""
    folder = tmp_path_factory.mktemp("site")
    source = folder / "source"
    shutil.copytree(ROOT / "tests" / "example_plugin", source)
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    result = subprocess.run([*command, "--target", folder / "site", source], capture_output=True, text=True)
    if result.returncode and "setuptools" in result.stderr:
        pytest.skip("building the example plugin needs setuptools>=77 in this environment: pip install setuptools")
    assert result.returncode == 0, result.stderr
    return folder / "site"


def test_an_installed_plugin_is_found_and_runs(installed, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(installed)
    entry = next(e for e in Registry().entries("defense") if e.name == "sharpen")
    assert entry.origin == "mia-bench-example 0.1.0"
    records = mia_bench.evaluate("sharpen2+topk5", attacks=["bb"], out=tmp_path, **SMALL)
    assert records[1].defense == "sharpen:power=2.0+topk:k=5"
    assert records[1].status == "ok"


def test_a_plugin_that_does_not_load_is_listed_with_its_error(installed, tmp_path):
    site = shutil.copytree(installed, tmp_path / "site")
    (site / "mia_bench_example" / "__init__.py").write_text("import there_is_no_such_module")
    listed = mia("list", PYTHONPATH=str(site), COLUMNS="400")
    assert listed.returncode == 0, listed.stderr
    assert "No module named 'there_is_no_such_module'" in listed.stdout
    asked = mia("run", "-d", "sharpen:power=2", "--out", tmp_path / "out", PYTHONPATH=str(site))
    refused(asked, "sharpen", "does not load")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def f(:", "SyntaxError"),
        ("x = 1", "defines no Attack, Defense, Evaluator or Target"),
        ("IMPORT\nclass D(Defense):\n    def release(self, scores, rng): ...", "has no name"),
        ("IMPORT\nclass D(Defense):\n    name = 'd'", "does not define release"),
        (
            "IMPORT\nclass D(Defense):\n    name = 'topk'\n    def release(self, scores, rng): ...",
            "comes from both",
        ),
    ],
)
def test_a_wrong_plugin_file_is_one_line(tmp_path, code, words):
    code = code.replace("IMPORT", "from mia_bench import Defense")
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(RequestError) as caught:
        Registry((tmp_path / "mine.py",))
    assert words in str(caught.value)
    assert "mine.py" in str(caught.value)


ATTACK = """
import torch
from mia_bench import Access, Attack, Reconstructions

class {name}(Attack):
    name = "mine"
    access = Access.SCORES
    def run(self, oracle, generator, trials):
        {body}
"""


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return None", "not Reconstructions"),
        ("return Reconstructions(generator.decode(trials.z0)[1:], torch.zeros(len(trials)) > 0)", "returned images"),
        ("return Reconstructions(generator.decode(trials.z0) * 9, torch.zeros(len(trials)) > 0)", "outside [0, 1]"),
        ("return oracle.logits(generator.decode(trials.z0), torch.arange(len(trials)))", "white-box access"),
        (
            "return [oracle.labels(generator.decode(trials.z0), torch.arange(1)) for _ in range(999)]",
            "budget",
        ),
        ("return 1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_a_failing_attack_is_an_error_record(tmp_path, body, reason):
    (tmp_path / "mine.py").write_text(ATTACK.format(name="Mine", body=body))
    records = mia_bench.evaluate(attacks=["mine"], plugins=[tmp_path / "mine.py"], out=tmp_path / "out", **SMALL)
    assert records[0].status == "error"
    assert reason in records[0].reason


def test_a_service_behind_a_function_can_be_the_target(tmp_path):
    (tmp_path / "my_service.py").write_text(
        "import torch\n"
        "def recognise(images):\n"
        "    means = images.flatten(1).mean(1, keepdim=True)\n"
        "    return (-(means - torch.linspace(0, 1, 20)).square() * 50).softmax(1)\n"
    )
    arguments = ["--identities", 1, "--trials", 1, "--budget", 300, "--out", tmp_path / "out", "--json"]
    target = "function:ref=my_service/recognise"
    result = mia("run", "--target", target, *arguments, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    white_box, black_box = json.loads(result.stdout)
    assert white_box["status"] == "skipped"
    assert black_box["status"] == "ok"
    assert black_box["target"] == target
    for wrong, words in (
        ("function:ref=nowhere/f", "cannot load 'nowhere/f'"),
        ("checkpoint:path=nowhere", "nowhere/A"),
    ):
        refused(mia("run", "--target", wrong, *arguments), words)


def test_a_users_own_checkpoint_can_be_the_target(lab, tmp_path):
    from mia_bench.networks import store
    from mia_bench.networks.lesson import Role

    for fold in "AB":
        (tmp_path / f"{fold}.safetensors").write_bytes(store.dump(lab.trained(Role("target"), fold)))
    mine, own = (
        mia_bench.evaluate(target=target, attacks=["wb"], identities=1, trials=1, out=tmp_path / "out")[0]
        for target in (f"checkpoint:path={tmp_path}", "paper")
    )
    assert mine.per_identity == own.per_identity
