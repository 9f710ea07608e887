"""How sure a mean over clips is, by drawing the clips again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RESAMPLES = 2000
LEVEL = 0.95


class Interval(NamedTuple):
    """Means [U] of U columns and the ends of their intervals [U]."""

    mean: Floats
    low: Floats
    high: Floats


def resampled_means(values: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
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


def interval(values: Floats, resamples: int = RESAMPLES, seed: int = 0) -> Interval:
    """Means over clips with their 95 % percentile bootstrap intervals (Efron 1979).

    Args:
        values: [N, U], see :func:`resampled_means`; a column without values gives nan.
    """
    means = resampled_means(values, resamples, seed)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(values)
        mean = np.where(known, values, 0).sum(0) / known.sum(0)
    low, high = np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    some = known.any(0)
    low[some], high[some] = np.nanquantile(
        means[:, some], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0
    )
    return Interval(mean, low, high)
