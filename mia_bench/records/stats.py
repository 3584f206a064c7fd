"""What can be said about a mean over independent units: identities, whose trials are not independent (average them
first), or a survey's participants.

Shares of few identities are skewed near 0 and 1, where resampled intervals are too short (docs/decisions.md has
the figures), so a share's interval is Wilson's and the excess of one share over another is built from two of them.
"Differs from none" is a paired sign-flip test, which is exact whatever the distribution; the interval beside it is the
same test turned round, so that the two cannot disagree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit
from scipy.stats import bootstrap, kendalltau, ttest_1samp

RESAMPLES = 10_000
SEED = 20260101
ALPHA = 0.05
ENUMERATED = 13
"""Up to this many units every subset is taken (2**13 = 8,192), beyond it 9,999 random ones."""

Array = NDArray[np.float64]


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95% interval of the mean of per-identity shares, each in [0, 1]; with one identity [0, 1], nothing is known.

    Wilson's, with Student's t and the number of independent trials that would give this spread (Dean and Pagano 2015,
    "Evaluating confidence interval methods for binomial proportions in clustered surveys").
    """
    low, high = _wilson(np.asarray(values, dtype=np.float64), ALPHA)
    return (round(low, 6), round(high, 6))


def excess(values: Mapping[str, float], base: Mapping[str, float]) -> tuple[float, float, float]:
    """Mean of shares ``values`` minus that of ``base`` (the null), over the identities of both, with its 95% interval.

    Two Wilson intervals and the correlation, squared and added (Newcombe 1998, method 10; MOVER, Zou and Donner 2008).
    """
    x, y = _paired(values, base)
    low, high = _excess(x, y, ALPHA)
    return (round(float(x.mean() - y.mean()), 6), low, high)


def paired_difference(values: Mapping[str, float], reference: Mapping[str, float]) -> tuple[float, float, float]:
    """Mean difference ``values - reference`` over the identities of both, with its 95% interval.

    The interval includes 0 where the paired sign-flip test finds no difference (p > .05). Below six identities it
    never does, and the interval is [-1, 1].
    """
    x, y = _paired(values, reference)
    return (round(float(np.mean(x - y)), 6), *_difference(x, y, ALPHA))


@dataclass(frozen=True)
class Comparison:
    """One defense against ``none``, paired by identity, as one of several."""

    mean: float
    low: float
    high: float
    """At the level at which Holm's procedure tests the defenses that are left: it includes 0 exactly for a tie."""
    p: float
    """Two-sided, of the paired sign-flip test."""
    p_holm: float
    """Adjusted for the number of defenses (Holm 1979)."""

    @property
    def tie(self) -> bool:
        """No difference from ``none`` that holds among this many comparisons."""
        return self.p_holm > ALPHA


def compare(by_defense: Mapping[str, Mapping[str, float]], reference: Mapping[str, float]) -> dict[str, Comparison]:
    """Every defense's per-identity values against those of ``none``.

    With m defenses, k of which Holm's procedure tells from ``none``, all intervals have level 1 - .05 / (m - k), or 95%
    if k = m: wider than every test that was passed and as wide as the one that was not.
    """
    pairs = {defense: _paired(values, reference) for defense, values in by_defense.items()}
    tests = {defense: _FlipTest.of(x - y) for defense, (x, y) in pairs.items()}
    adjusted = holm({defense: test.p for defense, test in tests.items()})
    left = sum(p > ALPHA for p in adjusted.values())
    return {
        defense: Comparison(
            round(float(np.mean(x - y)), 6),
            *_difference(x, y, ALPHA / max(1, left)),
            p=tests[defense].p,
            p_holm=adjusted[defense],
        )
        for defense, (x, y) in pairs.items()
    }


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values adjusted so that the chance of any false one among them stays below .05 (Holm 1979)."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def rank_intervals(by_defense: Mapping[str, Mapping[str, float]]) -> dict[str, tuple[int, int]]:
    """95% interval of each defense's rank by its mean, 1 the lowest, over bootstrap samples of the identities.

    All defenses are ranked on each sample, so what they share (an identity that is easy for every attack) cancels.
    Equal means share all the ranks between them.
    """
    shared = sorted(set.intersection(*(set(values) for values in by_defense.values())))
    table = np.array([[values[identity] for identity in shared] for values in by_defense.values()])
    means = np.round(_resamples(len(shared)) @ table.T, 9)
    mine, others = means[:, :, None], means[:, None, :]
    low = np.quantile(1 + np.count_nonzero(others < mine, axis=2), ALPHA / 2, axis=0, method="lower")
    high = np.quantile(np.count_nonzero(others <= mine, axis=2), 1 - ALPHA / 2, axis=0, method="higher")
    return {name: (int(a), int(b)) for name, a, b in zip(by_defense, low, high, strict=True)}


def rank_agreement(first: Mapping[str, float], second: Mapping[str, float]) -> float:
    """Kendall's tau-b of two rankings (of two seeds, say) over the defenses of both; NaN where one of them ranks
    nobody before anybody."""
    shared = [name for name in first if name in second]
    return float(kendalltau([first[name] for name in shared], [second[name] for name in shared]).statistic)


@dataclass(frozen=True)
class _FlipTest:
    """The paired sign-flip test: were there no effect, each identity's difference could as well have the other sign.

    The sum of differences d - c is at most that with some signs flipped where the mean of the flipped ones is at most
    c. So the means of random subsets of d (Hartigan 1969) hold the p-value of every centre c, and their quantiles are
    the centres that are not rejected.
    """

    means: Array
    """Of d over subsets of the identities, ascending."""

    @classmethod
    def of(cls, d: Array) -> "_FlipTest":
        return cls(np.sort(np.round(_subsets(len(d)) @ d, 6)))

    @property
    def p(self) -> float:
        """Two-sided, for a centre of 0; the observed signs count as one of the flips."""
        fewer = 1 + min(np.sum(self.means <= 0), np.sum(self.means >= 0))
        return min(1.0, float(2 * fewer / (len(self.means) + 1)))

    def interval(self, alpha: float) -> tuple[float, float]:
        """The centres with p > alpha, within [-1, 1]."""
        k = int(alpha * (len(self.means) + 1) / 2 + 1e-9)
        return (float(self.means[k - 1]), float(self.means[-k])) if k else (-1.0, 1.0)


@lru_cache(maxsize=8)
def _subsets(n: int) -> Array:
    """Weights (subsets, n) that average over subsets of n units: all that are not empty, or random ones."""
    if n <= ENUMERATED:
        chosen = np.array(list(product((0.0, 1.0), repeat=n)))
    else:
        chosen = (np.random.default_rng(SEED).random((RESAMPLES - 1, n)) < 0.5).astype(np.float64)
    chosen = chosen[chosen.any(1)]
    return np.asarray(chosen / chosen.sum(1, keepdims=True))


@lru_cache(maxsize=8)
def _resamples(n: int) -> Array:
    """Weights (resamples, n) that average over n units drawn with replacement."""
    return np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n


def _paired(values: Mapping[str, float], reference: Mapping[str, float]) -> tuple[Array, Array]:
    shared = [identity for identity in values if identity in reference]
    return np.array([values[i] for i in shared]), np.array([reference[i] for i in shared])


def _difference(x: Array, y: Array, alpha: float) -> tuple[float, float]:
    """What the flip test of x - y does not reject. Where so few identities differ that it can reject nothing, the
    flips say too little of the others, who might have differed: then also what ``_excess`` allows."""
    low, high = _FlipTest.of(x - y).interval(alpha)
    if 2.0 ** np.count_nonzero(np.abs(x - y) > 1e-9) < 2 / alpha:
        below, above = _excess(x, y, alpha)
        return (min(low, below), max(high, above))
    return (low, high)


def _excess(x: Array, y: Array, alpha: float) -> tuple[float, float]:
    (low_x, high_x), (low_y, high_y) = _wilson(x, alpha), _wilson(y, alpha)
    spread = x.std() * y.std()
    r = float(np.mean((x - x.mean()) * (y - y.mean())) / spread) if spread > 0 else 0.0
    difference = float(x.mean() - y.mean())
    below = _add(x.mean() - low_x, high_y - y.mean(), r)
    above = _add(high_x - x.mean(), y.mean() - low_y, r)
    return (round(difference - below, 6), round(difference + above, 6))


def _wilson(sample: Array, alpha: float) -> tuple[float, float]:
    n, share = len(sample), float(sample.mean())
    if n < 2:
        return (0.0, 1.0)
    variance = float(sample.var(ddof=1))
    # without spread, as without trials that could show one, an identity counts as one trial
    effective = n * share * (1 - share) / variance if variance > 1e-12 else n
    q = float(stdtrit(n - 1, 1 - alpha / 2))
    centre = share + q**2 / (2 * effective)
    half = q * np.sqrt(share * (1 - share) / effective + q**2 / (4 * effective**2))
    scale = 1 + q**2 / effective
    return (max(0.0, float(centre - half) / scale), min(1.0, float(centre + half) / scale))


def _add(a: float, b: float, r: float) -> float:
    """Length of the sum of two deviations whose estimates correlate by r (they are subtracted, hence the sign)."""
    return float(np.sqrt(max(0.0, a**2 - 2 * r * a * b + b**2)))


def share_interval(hits: Sequence[int], counts: Sequence[int]) -> tuple[float, float]:
    """95% percentile-bootstrap interval of sum(hits) / sum(counts), resampling units; each count is at least 1."""
    result = bootstrap(
        (np.asarray(hits, dtype=np.float64), np.asarray(counts, dtype=np.float64)),
        lambda hit, count, axis: hit.sum(axis) / count.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
        batch=1000,
    )
    low, high = result.confidence_interval
    return (round(float(low), 6), round(float(high), 6))


def few_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """95% interval of the mean of a few shares, by Student's t, within [0, 1]; None below five: it says nothing."""
    if len(values) < 5:
        return None
    found = ttest_1samp(np.asarray(values, dtype=np.float64), 0.0).confidence_interval()
    return (round(max(0.0, float(found.low)), 6), round(min(1.0, float(found.high)), 6))
