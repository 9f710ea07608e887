"""Statistics of figures that rest on the very same videos."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

CONFIDENCE = 0.95
"""Of every interval."""
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
RESAMPLES = 10_000
"""Of every bootstrap. An end of an interval then moves with the seed by 3 % of a standard error."""
CHUNK = 2**22
"""Draws that are held at once."""


def mcnemar(right_to_wrong: int, wrong_to_right: int) -> float:
    """McNemar's exact p: two-sided binomial test that changes go both ways equally often.

    1 where nothing changed. McNemar, Psychometrika 12 (1947), in its exact form.
    """
    changed = right_to_wrong + wrong_to_right
    return float(binomtest(right_to_wrong, changed, 0.5).pvalue) if changed else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being several, by Holm's step-down method.

    Rejecting what is below alpha then makes any false rejection at most alpha likely, whatever
    the tests' dependence. Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return corrected.tolist()


def proportion_interval(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a proportion of which ``hits`` of ``total`` were seen.

    It has a width also where none or all were seen. The ``total`` are taken as drawn one by one:
    where several go together, as clips of one driver do, it is too narrow. Wilson, Journal of the
    American Statistical Association 22 (1927).

    Raises:
        ValueError: a total of 0, or hits that are not among it.
    """
    found = binomtest(hits, total).proportion_ci(CONFIDENCE, method="wilson")
    return float(found.low), float(found.high)


def bootstrap_interval(values: ArrayLike, *, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of ``values`` [N], one a video: 95 %.

    Efron, Annals of Statistics 7 (1979). nan where all values are the same: every resample is
    then alike, which says nothing of how the values spread. For a proportion see
    :func:`proportion_interval`.

    Raises:
        ValueError: no values.
    """
    array = np.asarray(values, np.float64)
    if not array.size:
        raise ValueError("no values to resample")
    # How often each distinct value is drawn is multinomial: the same distribution as drawing
    # videos, at a cost that does not grow with their number.
    distinct, counts = np.unique(array, return_counts=True)
    if len(distinct) == 1:
        return np.nan, np.nan
    draw = np.random.default_rng(seed)
    drawn = draw.multinomial(array.size, counts / array.size, size=RESAMPLES)
    means: NDArray[np.float64] = drawn @ distinct / array.size
    low, high = np.quantile(means, TAILS)
    return float(low), float(high)


class Intervals(NamedTuple):
    """Means [U] of U columns and the ends of their intervals [U]."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def of(self, column: int) -> tuple[float, float, float]:
        """Mean and ends of one column."""
        return float(self.mean[column]), float(self.low[column]), float(self.high[column])


def bootstrap_means(values: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Means of columns over rows that were drawn with replacement: [:data:`RESAMPLES`, U].

    Args:
        values: [N, U], a row a clip (a video, never a frame, as frames of a video go together);
            nan where a clip has no value, which then counts in no mean.
        seed: of the drawing.
    """
    rows = len(values)
    known = np.isfinite(values)
    values, weights = np.where(known, values, 0), known.astype(np.float64)
    rng = np.random.default_rng(seed)
    means = np.empty((RESAMPLES, values.shape[1]))
    step = max(1, CHUNK // rows)
    for start in range(0, RESAMPLES, step):
        count = min(step, RESAMPLES - start)
        drawn = rng.integers(rows, size=(count, rows)) + rows * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows)
        times = times.astype(np.float64)
        with np.errstate(invalid="ignore"):  # 0/0 where a resample has no value
            means[start : start + count] = (times @ values) / (times @ weights)
    return means


def percentile_intervals(values: NDArray[np.float64], means: NDArray[np.float64]) -> Intervals:
    """The 95 % intervals of the means of ``values`` [N, U] from their :func:`bootstrap_means`."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, values, 0).sum(0) / known.sum(0)
    low, high = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    lowest = np.where(known, values, np.inf).min(0)
    vary = lowest < np.where(known, values, -np.inf).max(0)
    if vary.any():
        low[vary], high[vary] = np.nanquantile(means[:, vary], TAILS, axis=0)
    return Intervals(mean, low, high)


def bootstrap_intervals(values: NDArray[np.float64], seed: int = 0) -> Intervals:
    """:func:`bootstrap_interval` for many columns at once, some with values missing: 95 %.

    Args:
        values: [N, U], see :func:`bootstrap_means`; a column without values, or with one value
            throughout, has an interval of nan.
        seed: of the drawing.
    """
    return percentile_intervals(values, bootstrap_means(values, seed))


def jaccard(one: Collection[object], other: Collection[object]) -> float:
    """Overlap of two sets: common members over all members, in [0, 1]; 1 for two empty ones."""
    union = set(one) | set(other)
    return len(set(one) & set(other)) / len(union) if union else 1.0
