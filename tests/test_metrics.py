"""The field's metrics against their published formulas, by loops and by hand."""

import itertools

import numpy as np
import pytest

from mia_bench.bench import metrics


@pytest.fixture
def sets():
    rng = np.random.default_rng(1)
    return rng.normal(size=(23, 4)), rng.normal(0.3, 0.8, size=(17, 4))


def test_the_manifold_metrics_are_those_of_the_formulas(sets):
    """Naeem et al., Eq. 1-2 and 5-6, one sum at a time."""
    real, made = sets
    k, N, M = 3, len(real), len(made)

    def distance(a, b):
        return float(np.sqrt(((a - b) ** 2).sum()))

    def kth(own, i):
        return sorted(distance(own[i], own[j]) for j in range(len(own)) if j != i)[k - 1]

    reach, reach_made = [kth(real, i) for i in range(N)], [kth(made, j) for j in range(M)]
    inside = [[distance(made[j], real[i]) < reach[i] for i in range(N)] for j in range(M)]
    back = [[distance(made[j], real[i]) < reach_made[j] for j in range(M)] for i in range(N)]
    found = metrics.manifold(made, real, k)
    assert found["precision"] == pytest.approx(sum(any(row) for row in inside) / M)
    assert found["recall"] == pytest.approx(sum(any(row) for row in back) / N)
    assert found["density"] == pytest.approx(sum(sum(row) for row in inside) / (k * M))
    assert found["coverage"] == pytest.approx(sum(any(inside[j][i] for j in range(M)) for i in range(N)) / N)


def test_density_counts_every_ball_and_averages_over_what_was_made():
    """27 real points 1 apart, balls of radius 2; 48 of 50 made points lie in 4 of them each: 192 / (3 x 50) = 1.28.

    Summed over the wrong axis it is 192 / (3 x 27) = 2.37; looking into the nearest ball only gives 48 / 150.
    """
    real = np.arange(27.0)[:, None]
    made = np.concatenate([np.resize(np.arange(3.5, 23), 48), [1e3, 2e3]])[:, None]
    found = metrics.manifold(made, real, 3)
    assert found["density"] == pytest.approx(1.28)
    assert found["precision"] == pytest.approx(48 / 50)


def test_precision_looks_into_all_balls_not_the_nearest():
    """The made point is nearest to a tight cluster, outside its balls, and inside a loose point's ball."""
    real = np.array([[0.0], [0.01], [0.02], [0.03], [5.0]])
    found = metrics.manifold(np.array([[1.0], [1.1], [1.2], [1.3]]), real, 3)
    assert found["precision"] == 1.0
    assert found["coverage"] == pytest.approx(1 / 5)


def test_equal_sets_cover_each_other(sets):
    real, _ = sets
    found = metrics.manifold(real, real.copy())
    assert found["precision"] == found["recall"] == found["coverage"] == 1.0
    assert metrics.manifold(real + 100, real) == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


def test_the_kernel_distance_is_the_unbiased_estimator(sets):
    x, y = sets
    d = x.shape[1]

    def k(a, b):
        return (float(a @ b) / d + 1) ** 3

    def pairs(s):
        return [k(s[i], s[j]) for i, j in itertools.permutations(range(len(s)), 2)]

    cross = [k(a, b) for a, b in itertools.product(x, y)]
    assert metrics.kernel_distance(x, y) == pytest.approx(np.mean(pairs(x)) + np.mean(pairs(y)) - 2 * np.mean(cross))


def test_the_kernel_distance_has_no_bias():
    rng = np.random.default_rng(2)
    same = [metrics.kernel_distance(rng.normal(size=(20, 3)), rng.normal(size=(20, 3))) for _ in range(300)]
    assert abs(np.mean(same)) < 3 * np.std(same) / np.sqrt(300)
    assert metrics.kernel_distance(rng.normal(size=(20, 3)) + 2, rng.normal(size=(20, 3))) > 1


def test_delta_is_to_the_nearest_photo_of_the_same_person():
    real, real_of = np.array([[0.0, 0.0], [3.0, 4.0], [0.1, 0.0]]), np.array([0, 0, 1])
    made, made_of = np.array([[0.1, 0.0], [3.0, 3.0]]), np.array([0, 0])
    assert metrics.nearest_own(made, made_of, real, real_of) == pytest.approx((0.01 + 1) / 2)


def test_likeness_is_1_for_a_copy_and_low_for_noise():
    rng = np.random.default_rng(3)
    photos = rng.random((4, 16, 16))
    of = np.array([0, 0, 1, 1])
    assert metrics.likeness(photos[1:3], of[1:3], photos, of) == pytest.approx(1)
    assert metrics.likeness(photos[:1], np.array([1]), photos, of) < 0.3


@pytest.mark.parametrize(("n", "some"), [(1, set()), (3, {"kid"}), (4, {"kid", "precision", "density"})])
def test_sets_that_are_too_small_leave_a_metric_out(n, some):
    rng = np.random.default_rng(4)
    views = {"pictures": rng.random((n, 16, 16)), "features": rng.random((n, 3))}
    found = metrics.compare(views, np.zeros(n, int), views, np.zeros(n, int))
    assert {"ssim", "delta_eval"} | some <= set(found)
    assert ("kid" in found, "recall" in found) == ("kid" in some, "precision" in some)
    assert (
        set(metrics.compare({"pictures": views["pictures"][:, :8]}, np.zeros(n, int), views, np.zeros(n, int))) == set()
    )
