"""Statistics of figures that rest on the very same videos."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest


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


def bootstrap_interval(
    values: ArrayLike, *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of ``values`` [N], one a video.

    Efron, Annals of Statistics 7 (1979). Where all values are the same it has no width: then the
    sample says nothing about the spread.

    Raises:
        ValueError: no values.
    """
    array = np.asarray(values, np.float64)
    if not array.size:
        raise ValueError("no values to resample")
    # How often each distinct value is drawn is multinomial: the same distribution as drawing
    # videos, at a cost that does not grow with their number.
    distinct, counts = np.unique(array, return_counts=True)
    draw = np.random.default_rng(seed)
    drawn = draw.multinomial(array.size, counts / array.size, size=resamples)
    means: NDArray[np.float64] = drawn @ distinct / array.size
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


class Intervals(NamedTuple):
    """Means [U] of U columns and the ends of their intervals [U]."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def of(self, column: int) -> tuple[float, float, float]:
        """Mean and ends of one column."""
        return float(self.mean[column]), float(self.low[column]), float(self.high[column])


def bootstrap_means(
    values: NDArray[np.float64], resamples: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Means of columns over rows that were drawn with replacement: [resamples, U].

    Args:
        values: [N, U], a row a clip (a video, never a frame, as frames of a video go together);
            nan where a clip has no value, which then counts in no mean.
        resamples: how many times N rows are drawn.
        seed: of the drawing.
    """
    counts = np.random.default_rng(seed).multinomial(
        len(values), np.full(len(values), 1 / len(values)), size=resamples
    )
    known = np.isfinite(values)
    with np.errstate(invalid="ignore"):  # 0/0 where a resample has no value
        return (counts @ np.where(known, values, 0)) / (counts @ known)


def bootstrap_intervals(
    values: NDArray[np.float64], resamples: int = 2000, seed: int = 0
) -> Intervals:
    """:func:`bootstrap_interval` for many columns at once, some with values missing: 95 %.

    Args:
        values: [N, U], see :func:`bootstrap_means`; a column without values gives nan.
    """
    means = bootstrap_means(values, resamples, seed)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(values)
        mean = np.where(known, values, 0).sum(0) / known.sum(0)
    low, high = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    some = known.any(0)
    low[some], high[some] = np.nanquantile(means[:, some], [0.025, 0.975], axis=0)
    return Intervals(mean, low, high)


def jaccard(one: Sequence[int], other: Sequence[int]) -> float:
    """Overlap of two sets: common members over all members, in [0, 1]; 1 for two empty ones."""
    union = set(one) | set(other)
    return len(set(one) & set(other)) / len(union) if union else 1.0
