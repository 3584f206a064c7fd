"""The paper's tables and figures as commands; small runs of them."""

import csv

import pytest

from mia_bench.paper import fig7
from mia_bench.paper.fig7 import Point
from mia_bench.paper.published import TABLE_I

from .helpers import face_folder, mia, refused

SMALL = ("--identities", 2, "--trials", 2)


def test_what_the_paper_printed_does_not_all_add_up():
    """The white-box row averages what is printed; of the black-box row both figures are quoted."""
    white, black = TABLE_I
    assert sum(white.by_identity) / 5 == pytest.approx(white.average)
    assert sum(black.by_identity) / 5 == pytest.approx(75.0)
    assert black.average == 73.4
    assert "75.0" in black.remark


def test_table1_stands_beside_the_papers_and_fig8_takes_its_records(tmp_path):
    small = (*SMALL, "--budget", 300, "--out", tmp_path)
    result = mia("paper", "table1", *small)
    assert result.returncode == 0, result.stderr
    for words in (
        "ours, white-box",
        "ours, black-box",
        "paper, black-box",
        "73.4 printed, 75.0",
        "Black-box minus white",
    ):
        assert words in result.stdout
    records = sorted(tmp_path.glob("*.json"))
    assert len(records) == 2
    written = [record.stat().st_mtime_ns for record in records]
    result = mia("paper", "fig8", *small)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "fig8.png").read_bytes().startswith(b"\x89PNG")
    assert [record.stat().st_mtime_ns for record in records] == written
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    result = mia("paper", "fig8", *small)
    assert result.returncode == 2
    assert "--fresh" in result.stderr.splitlines()[-1]


def test_fig7_gives_points_figures_and_what_they_say(tmp_path):
    pytest.importorskip("matplotlib", reason="figures need matplotlib: pip install -e '.[figures]'")
    result = mia("paper", "fig7", "--identities", 2, "--trials", 1, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("vae", "gan"):
        assert f"D = {name}: Spearman correlation" in result.stdout
    assert (tmp_path / "fig7.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "fig7.svg").read_bytes()
    with open(tmp_path / "fig7.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["generator"] for row in rows} == {"vae", "gan"}
    first = [row for row in rows if (row["generator"], row["step"]) == ("vae", "0")]
    assert len(first) == 2 * len(fig7.SIGMA2)
    assert all(0 <= float(row["C"]) <= 1 and -1 <= float(row["cosine"]) <= 1.0001 for row in rows)
    C_of = {float(row["sigma2"]): float(row["C"]) for row in first}
    assert C_of[1e-4] < C_of[1.0]


def test_the_summary_of_fig7_counts_what_the_paper_reads_off_it():
    made = [
        Point("vae", "s01", 0, 0, 1e-4, C, cosine) for C, cosine in ((0.01, 0.99), (0.05, 0.7), (0.5, 0.4), (0.9, 0.1))
    ]
    found = fig7.summary(made)
    assert (found.close, found.share) == (2, 0.5)
    assert found.spearman == pytest.approx(-1)


def test_pixels_shows_whom_each_attack_convinces(tmp_path):
    result = mia("paper", "pixels", "--identities", 1, "--trials", 1, "--out", tmp_path)
    assert result.returncode == 0, result.stderr
    for attack in ("wb", "pixel", "bb", "bb-pixel"):
        assert f" {attack} " in result.stdout


def test_a_protocol_without_its_photos_is_one_line(tmp_path):
    none = {"MIA_BENCH_LFW": ""}
    refused(mia("paper", "table1", "--protocol", "lfw", **none), "--data", "MIA_BENCH_LFW")
    refused(mia("run", "--protocol", "lfw", "--data", tmp_path / "nowhere", **none), "nowhere", "no such folder")
    other = face_folder(tmp_path / "faces", {f"p{i:02d}": 40 if i < 30 else 20 for i in range(64)}, size=(250, 250))
    refused(
        mia("run", "--protocol", "lfw", "--data", other, **none), "not those this protocol was written for", "64 people"
    )
    refused(
        mia("train", "--protocol", "vggface2", "--data", other, **none), "attacks 5 people with at least 100 photos"
    )
    refused(mia("run", "--data", other, **none), "orl brings its own photos")
    refused(mia("run", "--generator", "gna"), "no generator 'gna'", "vae, gan")
