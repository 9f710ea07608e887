"""The attention core that all architectures share."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    observe: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Softmax attention, ``softmax(q k^T / sqrt(D) + bias) v``.

    Takes the fused kernel unless the attention weights are asked for.

    Args:
        q: queries [..., H, N, D].
        k: keys [..., H, M, D].
        v: values [..., H, M, D].
        bias: added to the scaled scores, broadcastable to [..., H, N, M].
        observe: is handed the weights [..., H, N, M].

    Returns:
        [..., H, N, D].
    """
    if observe is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores + bias
    weights = scores.softmax(dim=-1)
    observe(weights)
    return weights @ v
