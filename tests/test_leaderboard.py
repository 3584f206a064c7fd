"""Tables from records."""

import csv
import shutil
from pathlib import Path

import pytest

from mia_bench import leaderboard, protocol, record
from mia_bench.errors import RequestError

from .helpers import mia, refused

ROOT = Path(__file__).parent.parent
PUBLISHED = ROOT / "leaderboard" / "orl"


def test_the_published_tables_are_what_the_published_records_give(tmp_path):
    leaderboard.build(PUBLISHED / "records", tmp_path)
    for suffix in ("md", "tex", "csv"):
        name = f"leaderboard.{suffix}"
        assert (tmp_path / name).read_text() == (PUBLISHED / name).read_text()


def test_the_readme_shows_the_published_table():
    readme = (ROOT / "README.md").read_text()
    shown = readme.split("<!-- leaderboard:orl -->\n")[1].split("<!-- /leaderboard:orl -->")[0]
    assert shown == (PUBLISHED / "leaderboard.md").read_text()


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


def test_ranking_and_figures_come_from_the_records():
    found = record.read_folder(PUBLISHED / "records")
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
    """Parity of the paper's two attacks, a low floor, a target worth attacking."""
    undefended = {r.attack: r for r in record.read_folder(PUBLISHED / "records") if r.defense == "none"}
    for found in undefended.values():
        assert len(found.per_identity) == 40
        assert found.trials >= 5
        assert found.attack_accuracy.top1 >= 0.45
        assert found.floor <= 0.10
        assert found.utility.top1 >= 0.95
        assert found.environment["dirty"] is False
    assert abs(undefended["wb"].attack_accuracy.top1 - undefended["bb"].attack_accuracy.top1) <= 0.05


def test_records_of_different_settings_are_not_ranked_together(tmp_path):
    found = record.read_folder(PUBLISHED / "records")
    with pytest.raises(RequestError, match="different settings"):
        leaderboard.make([*found, found[0].model_copy(update={"seed": 9})])
    with pytest.raises(RequestError, match="two records"):
        leaderboard.make([*found, found[0].model_copy(update={"cell_id": "0" * 16})])


def test_text_from_records_is_escaped():
    found = record.read_folder(PUBLISHED / "records")
    hostile = [r.model_copy(update={"defense": "a|<script>_%&[red]"}) if r.defense == "topk:k=5" else r for r in found]
    board = leaderboard.make(hostile)
    assert "a\\|&lt;script>_%&amp;[red]" in leaderboard.markdown(board)
    assert "\\_\\%\\&" in leaderboard.latex(board)


def test_wrong_requests(tmp_path):
    refused(mia("leaderboard", "build", cwd=tmp_path), "no leaderboard/PROTOCOL/records here")
    refused(mia("leaderboard", "build", tmp_path), "holds no records")
    refused(mia("show", tmp_path / "nowhere"), "holds no records")
    (tmp_path / "x.json").write_text('{"schema": 1}')
    refused(mia("leaderboard", "build", tmp_path), "x.json", "not a mia-bench record")
    (tmp_path / "README.md").write_text("nothing here")
    records = PUBLISHED / "records"
    result = mia("leaderboard", "build", records, "--out", tmp_path / "o", "--readme", tmp_path / "README.md")
    assert result.returncode == 2
    assert "has no lines <!-- leaderboard:orl -->" in result.stderr


def test_what_is_published_was_made_with_the_protocols_of_this_package():
    for folder in sorted((ROOT / "leaderboard").glob("*/records")):
        for found in record.read_folder(folder):
            assert found.protocol.sha256 == protocol.load(found.protocol.name).sha256
