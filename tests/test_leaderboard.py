"""Tables from records."""

import csv
import shutil
from pathlib import Path

import pytest

import mia_bench
from mia_bench.board import leaderboard
from mia_bench.board.verdict import verdicts
from mia_bench.plugin.errors import RequestError
from mia_bench.protocol import model as protocol
from mia_bench.records import record

from .helpers import mia, refused

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "leaderboard" / "orl"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The folder of a small run without a suite: six people, two trials."""
    out = tmp_path_factory.mktemp("plain")
    mia_bench.evaluate(["topk5", "labelonly"], folds=["A"], identities=6, trials=2, budget=200, out=out)
    return out


def test_the_published_tables_are_what_the_published_records_give(tmp_path):
    leaderboard.write(leaderboard.make(record.read_folder(PUBLISHED / "records")), tmp_path)
    for suffix in ("md", "tex", "csv"):
        name = f"leaderboard.{suffix}"
        assert (tmp_path / name).read_text() == (PUBLISHED / name).read_text()


def test_the_documents_show_the_published_tables(tmp_path):
    board = leaderboard.make(record.read_folder(PUBLISHED / "records"))
    for document in (ROOT / "README.md", ROOT / "docs" / "attacks.md"):
        copy = Path(shutil.copy(document, tmp_path))
        leaderboard.update_document(copy, board)
        assert copy.read_text() == document.read_text()
    assert (PUBLISHED / "leaderboard.md").read_text() in (ROOT / "README.md").read_text()


def test_building_twice_changes_nothing(tmp_path):
    shutil.copytree(PUBLISHED, tmp_path / "leaderboard" / "orl")
    shutil.copy(ROOT / "README.md", tmp_path)
    arguments = ("leaderboard", "build", "--readme", "README.md")
    seen = []
    for _ in range(2):
        assert mia(*arguments, cwd=tmp_path).returncode == 0
        seen.append({f: f.read_bytes() for f in sorted(tmp_path.rglob("*")) if f.is_file()})
    assert seen[0] == seen[1]
    assert seen[0][tmp_path / "README.md"] == (ROOT / "README.md").read_bytes()


def test_ranking_and_figures_come_from_the_records(plain):
    found = record.read_folder(plain)
    board = leaderboard.make(found)
    ranked = [row for row in board.rows if row.headline]
    accuracies = [row.headline.attack_accuracy.top1 for row in ranked]
    assert accuracies == sorted(accuracies)
    assert board.rows[-1].headline is None or len(ranked) == len(board.rows)
    assert leaderboard.make(list(reversed(found))).cells() == board.cells(), "the order of the files does not matter"
    rows = list(csv.DictReader(leaderboard.as_csv(board).splitlines()))
    by_pair = {(r.defense, r.attack): r for r in found}
    assert len(rows) == len(found)
    for row in rows:
        source = by_pair[row["defense"], row["attack"]]
        if source.status == "ok":
            assert float(row["top1"]) == source.attack_accuracy.top1
            assert int(row["total_queries"]) == source.queries.total
            mean = sum(identity.top1 for identity in source.per_identity) / len(source.per_identity)
            assert float(row["top1"]) == pytest.approx(mean, abs=1e-6)


def test_the_published_run_meets_what_the_project_promises():
    """Parity of the paper's two attacks, a low floor, a target worth attacking, a suite that no masking survives."""
    records = record.read_folder(PUBLISHED / "records")
    for found in records:
        assert found.status == "ok" or (found.status, found.defense) == ("skipped", "labelonly")
        assert found.environment["dirty"] is False
        if found.status == "ok":
            assert (len(found.per_identity), found.budgets) == (40, [300, 1000, 5000])
            assert found.floor <= 0.10
            assert found.utility.top1 >= 0.9
    undefended = {r.attack: r.attack_accuracy.top1 for r in records if r.defense == "none"}
    assert undefended["ortho"] >= 0.9
    assert abs(undefended["wb"] - undefended["bb"]) <= 0.05
    worst = {verdict.defense: verdict.headline.accuracy for verdict in verdicts(records)}
    for defense, accuracy in worst.items():
        assert accuracy >= (0.6 if defense == "labelonly" else 0.8) * worst["none"], defense


def test_records_of_different_settings_are_not_ranked_together(plain):
    found = record.read_folder(plain)
    with pytest.raises(RequestError, match="different settings"):
        leaderboard.make([*found, found[0].model_copy(update={"seed": 9})])
    with pytest.raises(RequestError, match="two records"):
        leaderboard.make([*found, found[0].model_copy(update={"cell_id": "0" * 16})])


def test_text_from_records_is_escaped(plain):
    found = record.read_folder(plain)
    hostile = [r.model_copy(update={"defense": "a|<script>_%&[red]"}) if r.defense == "topk:k=5" else r for r in found]
    board = leaderboard.make(hostile)
    assert "a\\|&lt;script>_%&amp;[red]" in leaderboard.markdown(board)
    assert "\\_\\%\\&" in leaderboard.latex(board)


def test_wrong_requests(tmp_path, plain):
    refused(mia("leaderboard", "build", cwd=tmp_path), "no leaderboard/PROTOCOL/records here")
    refused(mia("leaderboard", "build", tmp_path), "holds no records")
    refused(mia("show", tmp_path / "nowhere"), "holds no records")
    (tmp_path / "x.json").write_text('{"schema": 1}')
    refused(mia("leaderboard", "build", tmp_path), "x.json", "not a mia-bench record")
    (tmp_path / "README.md").write_text("nothing here")
    result = mia("leaderboard", "build", plain, "--out", tmp_path / "o", "--readme", tmp_path / "README.md")
    assert result.returncode == 2
    assert "has no lines <!-- leaderboard:orl -->" in result.stderr
    assert not (tmp_path / "o").exists()


def test_what_is_published_was_made_with_the_protocols_of_this_package():
    for folder in sorted((ROOT / "leaderboard").glob("*/records")):
        for found in record.read_folder(folder):
            assert found.protocol.sha256 == protocol.load(found.protocol.name).sha256
