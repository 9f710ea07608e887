"""Stopping to draw calibration clips as soon as the selection of units is settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import distributed

from vitprune.importance.metrics import METRICS
from vitprune.importance.scores import DIRECTIONS, per_clip

BETS = 0.9 * 2.0 ** -np.arange(8)
"""Fractions of the largest bet that is allowed; small ones pay where relevances vary a lot."""


class SequentialSelection:
    r"""Which k of U units are lowest (or highest), by a test that may be looked at after any clip.

    For every pair of units (i, j), the hypothesis "i's mean is not below j's" is tested on the
    per-clip differences ``d = x_j - x_i`` in [-1, 1] by betting against it: starting with a
    capital of 1, each clip multiplies the capital staked on bet ``b`` by ``1 + b (d - m)``, where
    ``m`` is the largest that the mean of the clips not yet drawn could be if the hypothesis held.
    If it holds, the capital (averaged over a grid of bets) is a nonnegative supermartingale, so
    that by Ville's inequality it *ever* reaches 1/a with probability at most a: looking after
    every clip costs nothing (Waudby-Smith & Ramdas, "Estimating means of bounded random variables
    by betting", JRSS B 86(1), 2024, arXiv:2010.09686; section 4, and section 5 for drawing without
    replacement, which is what ``total`` turns on).

    The selection is settled when for every i that is in and every j that is out the hypothesis is
    rejected at a = (1 - confidence) / (k (U - k)). A wrong selection has in it an i that
    truly lies beyond some j left out, so one of the k (U - k) true orders was rejected: the
    probability of that is at most 1 - confidence (union bound).

    The differences of all relevances of two units lie in [-1, 1] though R itself spans
    [-1/2, 1]: for dProb they are ``q_i[c] - q_j[c]``, and R is the mean of JSD and dProb.

    Args:
        num_units: U.
        k: how many to select.
        direction: ``lowest`` or ``highest``.
        confidence: at least this probability that a settled selection is the one that all
            ``total`` clips (or, if None, endless clips) would give.
        total: of how many clips the draws are, each at most once; None for independent draws.

    The guarantee rests on the clips being drawn in random order.

    Raises:
        ValueError: k not between 1 and U - 1, or an unknown direction, or a confidence that is
            not between 0 and 1.
    """

    def __init__(
        self,
        num_units: int,
        k: int,
        direction: str = "lowest",
        confidence: float = 0.95,
        total: int | None = None,
    ) -> None:
        if not 0 < k < num_units:
            raise ValueError(f"k={k} is not between 1 and {num_units - 1}")
        if direction not in DIRECTIONS:
            raise ValueError(f"direction={direction!r} is not one of {', '.join(DIRECTIONS)}")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence={confidence} is not between 0 and 1")
        self.k = k
        self.sign = 1 if direction == "lowest" else -1
        self.total = total
        self.drawn = 0
        self._wanted = np.log(k * (num_units - k) / (1 - confidence))
        self._sums = np.zeros(num_units)
        self._capital = np.full((len(BETS), num_units, num_units), -np.log(len(BETS)))
        self._below = np.zeros((num_units, num_units), dtype=bool)

    def update(self, relevance: np.ndarray) -> bool:
        """Takes in further clips, [n, U]; whether it is settled now.

        Raises:
            ValueError: relevances of one clip that differ by more than 1, or are no numbers.
        """
        for row in np.atleast_2d(relevance):
            if not np.ptp(row) <= 1 + 1e-6:
                raise ValueError("relevances of one clip must not differ by more than 1")
            self._draw(self.sign * row)
        return self.settled

    def _draw(self, row: np.ndarray) -> None:
        mean = np.zeros_like(self._below, dtype=float)
        if self.total is not None:
            left = self.total - self.drawn
            if left < 1:
                raise ValueError(f"more clips than the {self.total} that there are")
            mean = -_differences(self._sums) / left
        # A mean below -1 cannot be: whatever is still drawn, the hypothesis is false.
        self._below |= mean < -1
        bets = BETS[:, None, None] / np.maximum(1 + mean, 1e-9)
        gain = 1 + bets * (_differences(row) - mean)
        self._capital += np.log(gain)
        self._below |= np.logaddexp.reduce(self._capital, axis=0) >= self._wanted
        self._sums += row
        self.drawn += 1

    @property
    def selected(self) -> list[int]:
        """The k units by the clips drawn so far, first to go first; ties to the lower number."""
        return np.argsort(self._sums, kind="stable")[: self.k].tolist()

    @property
    def settled(self) -> bool:
        """Whether the selection will, with the wanted confidence, not change any more."""
        if self.drawn == self.total:
            return True
        inside = np.zeros(len(self._sums), dtype=bool)
        inside[self.selected] = True
        return bool(self._below[np.ix_(inside, ~inside)].all())

    @property
    def margin(self) -> float:
        """Mean relevance of the first unit out less the last one in; swapped for ``highest``."""
        ordered = np.sort(self._sums) / max(self.drawn, 1)
        return float(ordered[self.k] - ordered[self.k - 1])


def _differences(values: np.ndarray) -> np.ndarray:
    """[i, j] is the j-th value less the i-th."""
    return values[None, :] - values[:, None]


@dataclass
class Adaptive:
    """Tells :func:`vitprune.importance.score` when it has seen clips enough.

    Args:
        k: how many units are to be selected.
        metric: ``JSD``, ``dProb`` or ``R``.
        direction: ``lowest`` or ``highest``.
        target: ``predicted`` or ``label``.
        confidence: of the selection, see :class:`SequentialSelection`.
        total: how many clips the calibration split has.

    Raises:
        ValueError: see :class:`SequentialSelection`; or a metric that is not bounded by ablation.
    """

    k: int
    metric: str = "R"
    direction: str = "lowest"
    target: str = "predicted"
    confidence: float = 0.95
    total: int | None = None
    _selection: SequentialSelection | None = field(default=None, init=False, repr=False)
    _seen: set[int] = field(default_factory=set, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"adaptive scoring takes metric {', '.join(METRICS)}")

    def enough(self, clips: np.ndarray, values: Mapping[str, np.ndarray]) -> bool:
        """Takes in a batch; whether the selection is settled.

        In a process group all processes call this together and get the same answer.

        Args:
            clips: index of each clip, [B].
            values: what ablation gave, by name, each [B, U].
        """
        batches = [(clips, per_clip(values, self.metric, self.target))]
        if distributed.is_available() and distributed.is_initialized():
            gathered: list = [None] * distributed.get_world_size()
            distributed.all_gather_object(gathered, batches[0])
            batches = gathered
        for indices, rows in batches:
            self._selection = self._selection or SequentialSelection(
                rows.shape[1], self.k, self.direction, self.confidence, self.total
            )
            for index, row in zip(indices.tolist(), rows, strict=True):
                if index not in self._seen:  # a sampler may hand out clips twice to fill up
                    self._seen.add(index)
                    self._selection.update(row)
        return self._selection is not None and self._selection.settled

    @property
    def info(self) -> dict[str, float | int | str]:
        """What to report: clips used, whether it settled, and the margin of the selection."""
        assert self._selection is not None
        return {
            "confidence": self.confidence,
            "clips_used": self._selection.drawn,
            "settled": int(self._selection.settled),
            "margin": self._selection.margin,
        }
