"""Intervals and tests over identities, by simulation: identities differ (intra-class correlation .4), trials are few.

``pytest tests/test_stats.py -rP`` shows the measured coverages, false-positive rates and Kendall's tau.
"""

import numpy as np
import pytest
from scipy.stats import beta, norm

from mia_bench.records import stats

ICC = 0.4
TRIALS = 5
GRID = np.linspace(0, 1, 4001)


def of_identities(values):
    return {str(place): float(value) for place, value in enumerate(values)}


def shares(rng, means, n, reps, alike=0.7, trials=TRIALS):
    """Observed shares (reps, len(means), n): each identity has its own chance under each defense, beta-distributed
    about the defense's mean with ICC .4; an identity that is easy under one is easy under the others (``alike``)."""
    common = rng.standard_normal((reps, 1, n))
    own = rng.standard_normal((reps, len(means), n))
    place = norm.cdf(alike**0.5 * common + (1 - alike) ** 0.5 * own)
    spread = 1 / ICC - 1
    chance = [
        np.interp(place[:, i], beta.cdf(GRID, mean * spread, (1 - mean) * spread), GRID) for i, mean in enumerate(means)
    ]
    return rng.binomial(trials, np.stack(chance, 1)) / trials


def coverage(intervals, truth):
    return float(np.mean([low - 1e-9 <= truth <= high + 1e-9 for low, high in intervals]))


SHARES = [
    # identities, means, lowest and highest coverage
    (40, (0.1, 0.3, 0.5, 0.7, 0.9), 0.93, 0.97),
    (40, (0.02, 0.05, 0.98), 0.92, 0.97),
    (30, (0.1, 0.3, 0.5, 0.7, 0.9), 0.93, 0.97),
    (10, (0.05, 0.1, 0.5, 0.9), 0.94, 0.99),
]


@pytest.mark.parametrize(("n", "means", "least", "most"), SHARES)
def test_intervals_of_shares_cover(n, means, least, most):
    rng = np.random.default_rng(n)
    for mean in means:
        found = coverage(map(stats.mean_interval, shares(rng, [mean], n, 3000)[:, 0]), mean)
        print(f"coverage of {mean} with {n} identities", found)
        assert least <= found <= most, (n, mean, found)


PAIRS = [(0.8, 0.8), (0.8, 0.7), (0.8, 0.4), (0.8, 0.1), (0.5, 0.3), (0.9, 0.85)]
NEAR_0 = [(0.9, 0.02), (0.1, 0.02), (0.3, 0.02)]
"""As an accuracy above its null."""


@pytest.mark.parametrize(("n", "least", "most"), [(40, 0.93, 0.97), (30, 0.93, 0.97), (10, 0.92, 0.99)])
def test_intervals_of_excesses_cover(n, least, most):
    rng = np.random.default_rng(n)
    for value, base in PAIRS + NEAR_0:
        pairs = shares(rng, [value, base], n, 1500)
        found = coverage((stats.excess(of_identities(x), of_identities(y))[1:] for x, y in pairs), value - base)
        print(f"coverage of {value} - {base} with {n} identities", found)
        assert least <= found <= most, (n, value, base, found)


@pytest.mark.parametrize(("n", "least", "most"), [(40, 0.93, 0.97), (30, 0.93, 0.975), (10, 0.90, 0.99)])
def test_intervals_of_paired_differences_cover(n, least, most):
    rng = np.random.default_rng(n)
    for none, defended in PAIRS:
        pairs = shares(rng, [defended, none], n, 1500 if n == 40 else 700)
        found = coverage(
            (stats.paired_difference(of_identities(x), of_identities(y))[1:] for x, y in pairs), defended - none
        )
        print(f"coverage of {defended} - {none} with {n} identities", found)
        assert least <= found <= most, (n, none, defended, found)


@pytest.mark.parametrize("n", [40, 10])
@pytest.mark.parametrize("mean", [0.1, 0.5, 0.8])
def test_what_does_nothing_seldom_differs_from_none(n, mean):
    """One defense, and eight of which any one would be a false alarm."""
    rng = np.random.default_rng(n)
    one, any_of_8 = [], []
    for none, *defended in shares(rng, [mean] * 9, n, 400):
        found = stats.compare({str(i): of_identities(x) for i, x in enumerate(defended)}, of_identities(none))
        one += [comparison.p <= stats.ALPHA for comparison in found.values()]
        any_of_8.append(not all(comparison.tie for comparison in found.values()))
    print(f"false positives at {mean} with {n} identities: one {np.mean(one):.3f}, any of 8 {np.mean(any_of_8):.3f}")
    assert np.mean(one) <= 0.05
    assert np.mean(any_of_8) <= 0.05


def test_false_alarms_stay_rare_beside_defenses_that_work():
    rng = np.random.default_rng(1)
    alarms, hits = [], []
    for none, *defended in shares(rng, [0.8] * 5 + [0.3] * 4, 40, 400):
        found = stats.compare({str(i): of_identities(x) for i, x in enumerate(defended)}, of_identities(none))
        alarms.append(any(not found[str(i)].tie for i in range(4)))
        hits.append(np.mean([not found[str(i)].tie for i in range(4, 8)]))
    print(f"any false alarm {np.mean(alarms):.3f}, 50-point effects found {np.mean(hits):.3f}")
    assert np.mean(alarms) <= 0.05
    assert np.mean(hits) >= 0.95


def test_a_tie_is_an_interval_that_includes_0():
    rng = np.random.default_rng(2)
    ties = []
    for n in (3, 8, 14, 40):
        for none, *defended in shares(rng, [0.7, 0.7, 0.68, 0.6, 0.5, 0.4], n, 50):
            found = stats.compare({str(i): of_identities(x) for i, x in enumerate(defended)}, of_identities(none))
            for comparison in found.values():
                assert comparison.tie == (comparison.low <= 0 <= comparison.high)
                assert comparison.low <= comparison.mean <= comparison.high
                ties.append(comparison.tie)
            alone = stats.compare({"0": of_identities(defended[0])}, of_identities(none))["0"]
            assert (alone.mean, alone.low, alone.high) == stats.paired_difference(
                of_identities(defended[0]), of_identities(none)
            )
    assert 0.1 < np.mean(ties) < 0.9, "both happen"


def test_rank_intervals_cover():
    """The true ranks of eight defenses, some close together; two that are equal hold both of their places."""
    rng = np.random.default_rng(3)
    means = [0.1, 0.15, 0.3, 0.4, 0.45, 0.6, 0.8, 0.8]
    truth = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 8), (7, 8)]
    for n, least in ((40, 0.93), (10, 0.88)):
        hits = []
        for sample in shares(rng, means, n, 150):
            found = stats.rank_intervals({str(i): of_identities(x) for i, x in enumerate(sample)})
            hits.append([found[str(i)][0] <= low and high <= found[str(i)][1] for i, (low, high) in enumerate(truth)])
        by_defense = np.mean(hits, axis=0)
        print(f"coverage of ranks with {n} identities", by_defense)
        assert by_defense.min() >= least, by_defense


def test_rank_intervals_of_clear_and_of_equal_rows():
    clear = {name: of_identities([value] * 10) for name, value in (("a", 0.9), ("b", 0.1), ("c", 0.5), ("d", 0.5))}
    assert stats.rank_intervals(clear) == {"a": (4, 4), "b": (1, 1), "c": (2, 3), "d": (2, 3)}


def test_two_seeds_rank_alike():
    """Kendall's tau of two runs on the same people with other seeds: other trials, the same chances."""
    rng = np.random.default_rng(4)
    means = np.linspace(0.1, 0.8, 8)
    taus = []
    for chance in shares(rng, means, 40, 200, trials=10_000):
        first, second = rng.binomial(TRIALS, chance, (2, *chance.shape)).mean(2) / TRIALS
        taus.append(stats.rank_agreement(of_identities(first), of_identities(second)))
    print("Kendall's tau of two seeds, mean", np.mean(taus))
    assert np.mean(taus) > 0.9
    assert stats.rank_agreement({"a": 1.0, "b": 2.0, "c": 3.0}, {"c": 1.0, "b": 2.0, "a": 3.0, "x": 0.0}) == -1
    assert np.isnan(stats.rank_agreement({"a": 1.0, "b": 1.0}, {"a": 1.0, "b": 2.0}))


def test_holm_by_hand():
    assert stats.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert stats.holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_the_flip_test_by_hand():
    """Six differences of one sign: 2 of the 64 ways to flip them are as extreme. Five can never be significant."""
    differ = [0.2, 0.4, 0.4, 0.6, 0.2, 0.8]
    found = stats.compare({"x": of_identities(differ)}, of_identities([0.0] * 6))["x"]
    assert found.p == pytest.approx(2 / 64)
    assert (found.low, found.high) == (0.2, 0.8)
    five = stats.compare({"x": of_identities([1.0] * 5)}, of_identities([0.0] * 5))["x"]
    assert five.tie and (five.low, five.high) == (-1, 1)


def test_no_difference_seen_is_not_no_difference():
    same = of_identities([1.0, 1.0, 0.0, 0.5] * 3)
    mean, low, high = stats.paired_difference(same, same)
    assert mean == 0 and low < 0 < high
    nearly = {**same, "0": 0.5}
    mean, low, high = stats.paired_difference(nearly, same)
    assert mean < 0 and high > 0


def test_what_one_cannot_know_is_not_claimed():
    assert stats.mean_interval([0.4]) == (0, 1)
    low, high = stats.mean_interval([0.0] * 40)
    assert low == 0 and 0.05 < high < 0.12, "nobody in 40 does not mean nobody"
    assert stats.mean_interval([1.0] * 40) == (1 - high, 1)


def test_figures_are_the_same_every_time():
    rng = np.random.default_rng(5)
    x, y = map(of_identities, shares(rng, [0.3, 0.6], 40, 1)[0])
    stats._subsets.cache_clear()
    first = (stats.compare({"x": x}, y), stats.rank_intervals({"x": x, "y": y}))
    stats._subsets.cache_clear()
    stats._resamples.cache_clear()
    assert first == (stats.compare({"x": x}, y), stats.rank_intervals({"x": x, "y": y}))
