"""Least squares from streaming sums: any number of rows, memory that does not depend on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

STRENGTHS = tuple(10.0**power for power in range(-6, 3))
"""Of ridges, in units of the mean variance of a column of x."""


class Affine(NamedTuple):
    """``x @ weight + bias``: [P, Q] and [Q], float64."""

    weight: Tensor
    bias: Tensor


class Moments(NamedTuple):
    """Of N rows x [P] and y [Q]: means, and sums of products of what is left without them.

    Attributes:
        rows: N.
        x: mean, [P].
        y: mean, [Q].
        xx: [P, P].
        xy: [P, Q].
        yy: of every column of y, [Q].
    """

    rows: int
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    def error(self, found: Affine) -> float:
        """Mean squared error of a prediction of y, summed over its columns."""
        weight, bias = found
        spread = self.yy.sum() - 2 * (weight * self.xy).sum() + (weight * (self.xx @ weight)).sum()
        offset = self.x @ weight + bias - self.y
        return float(spread / self.rows + offset.square().sum())

    def ridge(self, strength: float) -> Affine:
        """The affine map of least squared error, with a ridge on its weights."""
        return self._with_bias(torch.linalg.solve(self._damped(strength), self.xy))

    def of_rank(self, strength: float, rank: int) -> Affine:
        """The best of a rank: reduced-rank ridge regression (Mukherjee and Zhu, 2011)."""
        damped = self._damped(strength)
        weight = torch.linalg.solve(damped, self.xy)
        fitted = torch.linalg.cholesky(damped).T @ weight
        directions = torch.linalg.svd(fitted, full_matrices=False).Vh[:rank]
        return self._with_bias(weight @ directions.T @ directions)

    def by_channel(self, strength: float) -> Affine:
        """The best that maps each column of x to the same one of y alone."""
        factors = self.xy.diagonal() / self._damped(strength).diagonal()
        return self._with_bias(torch.diag(factors))

    def _damped(self, strength: float) -> Tensor:
        scale = self.xx.diagonal().mean().clamp_min(torch.finfo(self.xx.dtype).tiny)
        return self.xx + strength * scale * torch.eye(len(self.xx)).to(self.xx)

    def _with_bias(self, weight: Tensor) -> Affine:
        return Affine(weight, self.y - self.x @ weight)


class LeastSquares(Metric):
    """Sums over rows x [P] and y [Q], in float64; over processes, too.

    Columns of tokens often have means much larger than their spread: of the 16 digits that costs
    twice as many as the mean is larger.

    Args:
        p: columns of x.
        q: columns of y.
    """

    full_state_update = False
    sums: Tensor
    squares: Tensor

    def __init__(self, p: int, q: int) -> None:
        super().__init__()
        self.p, self.q = p, q
        for name, size in (("sums", (1 + p, 1 + p + q)), ("squares", (q,))):
            zeros = torch.zeros(size, dtype=torch.float64)
            self.add_state(name, default=zeros, dist_reduce_fx="sum")

    def update(self, x: Tensor, y: Tensor) -> None:
        """Add rows: [N, P] and [N, Q]."""
        rows = torch.cat([torch.ones_like(y[:, :1]), x, y], dim=1).double()
        self.sums += rows[:, : 1 + self.p].T @ rows
        self.squares += rows[:, 1 + self.p :].square().sum(0)

    def compute(self) -> Moments:
        """The moments of all rows.

        Raises:
            ValueError: there were none.
        """
        count = float(self.sums[0, 0])
        if not count:
            raise ValueError("no rows to fit to")
        mean = self.sums[0, 1:] / count
        p = self.p
        products = self.sums[1:, 1:] - count * mean[:p, None] * mean
        spread = self.squares - count * mean[p:].square()
        return Moments(int(count), mean[:p], mean[p:], products[:, :p], products[:, p:], spread)


def best(fit: Moments, held_out: Moments, kind: str, rank: int) -> tuple[Affine, float]:
    """The map of a kind whose strength is the best one on other rows, and that strength.

    Args:
        fit: what it is fitted to.
        held_out: what the strength is chosen by.
        kind: ``full``, ``low_rank`` or ``scale``.
        rank: of ``low_rank``.
    """
    makers = {"full": fit.ridge, "scale": fit.by_channel}
    make = makers.get(kind, lambda strength: fit.of_rank(strength, rank))
    found: Sequence[tuple[Affine, float]] = [(make(strength), strength) for strength in STRENGTHS]
    return min(found, key=lambda one: held_out.error(one[0]))
