"""Relevance of a unit for a clip: how far the logits move when it is ablated."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vitprune.training.per_video import wide

METRICS = ("JSD", "dProb", "R")
LOG_2 = math.log(2)
TARGETS = ("predicted", "label")


def jsd(full_logits: Tensor, ablated_logits: Tensor, target: Tensor | None = None) -> Tensor:
    """Jensen-Shannon divergence in bits, ``KL(p||m)/2 + KL(q||m)/2``, ``m = (p+q)/2``.

    ``p`` and ``q`` are the softmax of the full and the ablated logits. Symmetric, in [0, 1], zero
    for equal logits, finite for any finite logits (Lin 1991, doi:10.1109/18.61115); nan where one
    of a clip's logits is nan or infinite.

    Args:
        full_logits: [B, C].
        ablated_logits: [..., B, C].
        target: taken for the sake of one signature, and not used.

    Returns:
        [..., B], in float64 (float32 on devices without it): the divergence of near-equal
        distributions is a difference of nearly equal terms, which float32 would lose.

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(full_logits, ablated_logits)
    log_p = _finite(full_logits).log_softmax(-1)
    log_q = _finite(ablated_logits).log_softmax(-1)
    total = _kl_to_middle(log_p, log_q) + _kl_to_middle(log_q, log_p)
    return (total / (2 * LOG_2)).clamp(0, 1)


def dprob(full_logits: Tensor, ablated_logits: Tensor, target: Tensor | None = None) -> Tensor:
    """Drop of the target class's probability, ``p[c] - q[c]``, in [-1, 1] and signed.

    It is nan where one of a clip's logits is nan or infinite.

    Args:
        full_logits: [B, C].
        ablated_logits: [..., B, C].
        target: the class ``c`` of each clip, [B]; None for the full model's prediction.

    Returns:
        [..., B], in float64 (float32 on devices without it).

    Raises:
        ValueError: shapes that do not fit.
    """
    _check(full_logits, ablated_logits)
    if target is None:
        target = full_logits.argmax(-1)
    if target.shape != full_logits.shape[:-1]:
        raise ValueError(f"target is {list(target.shape)}, not one class for each clip")
    p = _finite(full_logits).softmax(-1)
    q = _finite(ablated_logits).softmax(-1)
    index = target[:, None]
    return p.gather(-1, index)[:, 0] - q.gather(-1, index.expand(*q.shape[:-1], 1))[..., 0]


def relevance(
    full_logits: Tensor,
    ablated_logits: Tensor,
    target: Tensor | None = None,
    metric: str = "R",
) -> Tensor:
    """Relevance under ``metric``: ``JSD``, ``dProb``, or ``R = (JSD + dProb) / 2``.

    It is nan where one of a clip's logits is nan or infinite.

    Args:
        full_logits: [B, C].
        ablated_logits: [..., B, C].
        target: the class of each clip, [B]; None for the full model's prediction.
        metric: one of ``METRICS``.

    Returns:
        [..., B], in float64 (float32 on devices without it).

    Raises:
        ValueError: an unknown metric, or shapes that do not fit.
    """
    if metric == "JSD":
        return jsd(full_logits, ablated_logits)
    if metric == "dProb":
        return dprob(full_logits, ablated_logits, target)
    if metric == "R":
        divergence = jsd(full_logits, ablated_logits)
        return (divergence + dprob(full_logits, ablated_logits, target)) / 2
    raise ValueError(f"metric={metric!r} is not one of {', '.join(METRICS)}")


def _kl_to_middle(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p||m) in nats."""
    p = log_p.exp()
    # log(m/p) = log((1 + q/p) / 2), written so that equal p and q give exactly zero.
    ratio = log_q - log_p
    log_m_over_p = torch.where(
        ratio < 1, (ratio.clamp(max=1).expm1() / 2).log1p(), nn.functional.softplus(ratio) - LOG_2
    )
    # Where p underflows, log p may be -inf; the term's limit is zero.
    return torch.where(p == 0, 0, -p * log_m_over_p).sum(-1)


def _finite(logits: Tensor) -> Tensor:
    """Wide; nan throughout where one of a clip's logits is not finite.

    Minus infinity alone would pass for a probability of zero.
    """
    return wide(logits).where(logits.isfinite().all(-1, keepdim=True), math.nan)


def _check(full_logits: Tensor, ablated_logits: Tensor) -> None:
    if full_logits.dim() != 2 or ablated_logits.shape[-2:] != full_logits.shape:
        raise ValueError(
            f"full logits {list(full_logits.shape)} and ablated logits "
            f"{list(ablated_logits.shape)} are not [B, C] and [..., B, C]"
        )
