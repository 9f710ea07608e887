"""The attention core that all architectures share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from itertools import product
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
        if not dropout and _better_in_parts(q, k):
            return _in_parts(q, k, v, bias, scale or q.shape[-1] ** -0.5)
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


SCORES, FEWEST = 2**20, 2**16
"""How many scores are computed at once in parts: what a core's cache holds. With fewer than the
second in all it would not be worth it."""


def _better_in_parts(q: Tensor, k: Tensor) -> bool:
    """Whether this processor computes products in bfloat16 fast, and torch's fused kernel slowly.

    The kernel leaves them to MKL unless the processor has AMX. On one with AVX-512's bfloat16 alone
    it takes as long as in float32: two to three times as long as products by themselves.
    """
    if q.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return False
    if q.shape[:3].numel() * k.shape[2] < FEWEST:
        return False
    return _dtype(q) == torch.bfloat16 and _has_only_avx512_bf16()


def _dtype(q: Tensor) -> torch.dtype:
    """In which attention is computed, autocast or not."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else q.dtype


@lru_cache
def _has_only_avx512_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() and not torch.cpu._is_amx_tile_supported()


def _in_parts(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """:func:`attend` by products and a softmax, for :data:`SCORES` at once.

    Args:
        q, k, v: [B, H, N, D], [B, H, M, D] and the same.
        bias: [H, N, M].
        scale: of the scores.
    """
    dtype = _dtype(q)
    with torch.autocast("cpu", enabled=False):
        q, k, v = (q * scale).to(dtype), k.transpose(-2, -1).to(dtype), v.to(dtype)
        bias = None if bias is None else bias.to(dtype)
        batch, heads, count, _ = q.shape
        row = k.shape[-1]
        clips = max(1, SCORES // (heads * count * row))
        some = min(heads, max(1, SCORES // (count * row)))
        rows = min(count, max(1, SCORES // row))
        out = q.new_empty(batch, count, heads, v.shape[-1]).transpose(1, 2)
        starts = range(0, batch, clips), range(0, heads, some), range(0, count, rows)
        for i, j, n in product(*starts):
            which, here = (slice(i, i + clips), slice(j, j + some)), slice(n, n + rows)
            scores = q[(*which, here)] @ k[which]
            if bias is not None:
                scores += bias[which[1], here]
            out[(*which, here)] = scores.softmax(-1) @ v[which]
        return out
