"""The attention core that all architectures share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import TypeVar, TypeVarTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn import functional as F

Sizes = TypeVarTuple("Sizes")
R = TypeVar("R")


def geometry(make: Callable[[*Sizes], R]) -> Callable[[*Sizes], R]:
    """Decorates a function that makes tensors of sizes and a device alone: each is made once.

    It works on the CPU in float32, whatever the defaults are. What it makes can be trained with
    even if it was made in inference mode, is constant to ``torch.compile``, and has values even
    where all else has shapes alone (``FakeTensorMode``).
    """

    @lru_cache(maxsize=64)
    def remembered(*sizes: *Sizes) -> R:
        with _whatever_the_caller_has_set():
            return make(*sizes)

    # In a tuple, as torch 2.6 takes two bare tensors from here for the same constant.
    @torch.compiler.assume_constant_result
    def constant(*sizes: *Sizes) -> tuple[R]:
        return (remembered(*sizes),)

    @wraps(make)
    def geometric(*sizes: *Sizes) -> R:
        return constant(*sizes)[0]

    return geometric


@contextmanager
def _whatever_the_caller_has_set() -> Iterator[None]:
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with unset_fake_temporarily(), torch.inference_mode(False), torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None = None,
    observe: Callable[[Tensor], None] | None = None,
    scale: float | None = None,
    *,
    dropout: float = 0.0,
    softcap: float | None = None,
) -> Tensor:
    """Softmax attention, ``softmax(scale * q k^T + bias) v``.

    Takes the fused kernel unless the attention weights are asked for, or scores are capped.

    Args:
        q: queries [B, H, N, D], or [B, G, H, N, D] for G groups (windows, frames, ...) that do
            not see each other.
        k: keys, [B, H, M, D] or [B, G, H, M, D].
        v: values, shaped as ``k``.
        bias: added to the scaled scores: [H, N, M], or [G, H, N, M] if groups differ in it.
        observe: is handed the weights [B, H, N, M] or [B, G, H, N, M].
        scale: ``D ** -0.5`` if not given.
        dropout: share of the weights that is left out.
        softcap: scores s become ``softcap * tanh(s / softcap)`` before the bias is added
            (Gemma 2, arXiv:2408.00118).

    Returns:
        Shaped as ``q``.
    """
    if observe is not None or softcap is not None:
        scores = (q * (scale or q.shape[-1] ** -0.5)) @ k.transpose(-2, -1)
        if softcap is not None:
            scores = softcap * (scores / softcap).tanh()
        weights = (scores if bias is None else scores + bias).softmax(dim=-1)
        if observe is not None:
            observe(weights)
        return F.dropout(weights, dropout) @ v if dropout else weights @ v
    if q.dim() == 4:
        mask = None if bias is None else bias[None]
        return F.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=dropout, scale=scale
        )
    # The fused kernels take one dimension for batch and one for heads, and broadcast the bias
    # along either. The groups join the one that spares copies of the bias.
    dim = 0
    if bias is not None and bias.dim() == 4:
        dim, bias = 1, bias.flatten(0, 1)
    q_, k_, v_ = (x.flatten(dim, dim + 1) for x in (q, k, v))
    out = attend(q_, k_, v_, bias, scale=scale, dropout=dropout)
    return out.unflatten(dim, (q.shape[dim], q.shape[dim + 1]))
