"""The privacy-utility plane and the curves: files, the front, names that do not run into each other."""

import numpy as np
import pytest

from mia_bench.report import curves, plane

POINTS = [
    plane.Point("none", 0.975, 0.93, 0.84, 0.97),
    plane.Point("topk:k=5", 0.975, 0.93, 0.83, 0.97),
    plane.Point("$\\frac$_<b>", 0.975, 0.80, 0.68, 0.88),
    plane.Point("labelonly", 0.97, 0.55, 0.40, 0.68),
    plane.Point("noise:sigma=0.05", 0.965, 0.74, 0.60, 0.84),
    plane.Point("sham", 0.975, 0.05, -0.02, 0.12, suspected=True),
]
CURVES = [
    curves.Curve(
        point.defense,
        (300, 1000, 5000),
        (point.leak / 2, point.leak * 0.8, point.leak),
        (point.low / 2, point.low * 0.8, point.low),
        (point.high / 2, point.high * 0.8, point.high),
        point.suspected,
    )
    for point in POINTS
]


def test_the_front_is_what_nothing_beats_and_nothing_suspected():
    assert [point.defense for point in plane.front(POINTS)] == ["labelonly", "$\\frac$_<b>"]
    assert plane.front([POINTS[-1]]) == []
    twice = [plane.Point(name, 0.9, 0.5, 0.4, 0.6) for name in "ab"]
    assert plane.front(twice) == twice, "equals do not beat each other"


@pytest.mark.parametrize(("draw", "content"), [(plane.draw, POINTS), (curves.draw, CURVES)])
@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_figures_are_four_files_and_the_same_every_time(draw, content, count, tmp_path):
    files = draw(content[:count], tmp_path / "a", "title $x$")
    assert {file.suffix for file in files} == {".png", ".svg"} and len(files) == 4
    for file, again in zip(files, draw(content[:count], tmp_path / "b", "title $x$"), strict=True):
        assert file.stat().st_size > 1000
        assert file.read_bytes() == again.read_bytes()


def test_labels_stand_apart_in_order_and_within_the_panel():
    rng = np.random.default_rng(0)
    for _ in range(100):
        wanted = sorted(rng.choice([0.9, 0.93, 0.97, 0.5], 9))
        found = plane._apart(wanted, 0.05, 0.0, 1.0)
        assert np.diff(found).min() >= 0.05 - 1e-9
        assert min(found) >= 0 and max(found) <= 1 + 1e-9
    assert plane._apart([0.1, 0.5], 0.05, 0, 1) == [0.1, 0.5], "nothing moves that need not"
