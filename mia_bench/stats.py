"""Intervals over independent units: identities, whose trials are not independent, or a survey's participants."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import bootstrap, ttest_1samp

RESAMPLES = 10_000
SEED = 20260101


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """95% percentile-bootstrap interval of the mean of per-identity values; with one identity, [value, value]."""
    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        return (float(sample.mean()), float(sample.mean()))
    result = bootstrap(
        (sample,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(SEED), batch=1000
    )
    low, high = result.confidence_interval
    return (round(float(low), 6), round(float(high), 6))


def paired_difference(values: Mapping[str, float], reference: Mapping[str, float]) -> tuple[float, float, float]:
    """Mean difference ``values - reference`` over the identities that both have, with its 95% interval."""
    differences = [values[identity] - reference[identity] for identity in values if identity in reference]
    low, high = mean_interval(differences)
    return (round(float(np.mean(differences)), 6), low, high)


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
    """95% interval of the mean of a few shares, by Student's t, within [0, 1]; None below five, where it says nothing.

    Resampling five values, as ``mean_interval`` would, gives intervals that are too short.
    """
    if len(values) < 5:
        return None
    found = ttest_1samp(np.asarray(values, dtype=np.float64), 0.0).confidence_interval()
    return (round(max(0.0, float(found.low)), 6), round(min(1.0, float(found.high)), 6))
