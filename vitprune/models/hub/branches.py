"""The branches of transformers' layers, made of the layers' own modules."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vitprune.models.attention import attend
from vitprune.models.branches import NEURON_GROUPS, evenly, keep_outputs, rows_of
from vitprune.models.chain import Attention, Branch, Grid, Mlp, Tokens

INTERFACE = "vitprune"
"""What :func:`attention_interface` is called in transformers' table of attentions."""


def attention_interface(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    softcap: float | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """What transformers' attentions call: q, k, v [B, H, N, D] to [B, N, H, D].

    Args:
        module: of transformers, which may have an ``observer``.
        query: [B, H, N, D].
        key: [B, H, M, D].
        value: [B, H, M, D].
        attention_mask: added to the scores.
        scaling: of the scores.
        dropout: share of the weights that is left out.
        softcap: see :func:`vitprune.models.attention.attend`.
        unused: what other implementations take.
    """
    observe = getattr(module, "observer", None)
    heads = attend(
        query, key, value, attention_mask, observe, scaling, dropout=dropout, softcap=softcap
    )
    return heads.transpose(1, 2).contiguous(), None


class HubAttention(Attention):
    """An attention of transformers over all tokens.

    Args:
        norm: runs before it.
        original: transformers' module, whose only linear layers make q, k and v, each [H * D] of
            a token, and whose output projection has been taken out: it ends in the heads,
            [B, N, H * D].
        proj: the output projection.
        num_heads: H.
        dropout: of what the branch adds.
    """

    def __init__(
        self,
        norm: nn.Module,
        original: nn.Module,
        proj: nn.Linear,
        num_heads: int,
        dropout: nn.Module,
    ) -> None:
        super().__init__(num_heads, proj.in_features // num_heads, dropout)
        self.norm = norm
        self.original = original
        self.proj = proj

    def heads(self, tokens: Tokens) -> Tensor:
        joined = self.attend_in(self.norm(tokens.x), self.observer)
        return joined.unflatten(-1, (self.num_heads, -1))

    def attend_in(self, x: Tensor, observe: Callable[[Tensor], None] | None) -> Tensor:
        """Attention among n tokens: [b, n, C] to the heads side by side, [b, n, H * D]."""
        if observe is None:
            return self.original(x)[0]
        self.original.observer = observe  # type: ignore[assignment]  # for attention_interface
        try:
            return self.original(x)[0]
        finally:
            self.original.observer = None  # type: ignore[assignment]

    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        return torch.einsum("bn,bhnm->bhm", queries, weights)

    def keep(self, which: Sequence[int]) -> None:
        rows = rows_of(self.widths, which)
        for linear in self.original.modules():
            if isinstance(linear, nn.Linear):
                keep_outputs(linear, rows)
        for name, count in (("num_attention_heads", len(which)), ("all_head_size", len(rows))):
            if hasattr(self.original, name):
                setattr(self.original, name, count)


class GroupedAttention(HubAttention):
    """An attention of transformers within each of G groups of n tokens."""

    @abstractmethod
    def grouped(self, x: Tensor, grid: Grid) -> Tensor:
        """[B, T * H * W, ...] to [B, G, n, ...]."""

    @abstractmethod
    def in_order(self, groups: Tensor) -> Tensor:
        """[B, G, n, ...] to [B, T * H * W, ...]."""

    def heads(self, tokens: Tokens) -> Tensor:
        groups = self.grouped(self.norm(tokens.x), tokens.grid)
        shape, see = groups.shape[:2], self.observer
        observe = None if see is None else lambda weights: see(weights.unflatten(0, shape))
        joined = self.attend_in(groups.flatten(0, 1), observe).unflatten(0, shape)
        return self.in_order(joined).unflatten(-1, (self.num_heads, -1))

    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        shares = torch.einsum("bgn,bghnm->bgmh", self.grouped(queries, grid), weights)
        return self.in_order(shares).transpose(1, 2)


class SpaceAttention(GroupedAttention):
    """Attention within each frame."""

    def grouped(self, x: Tensor, grid: Grid) -> Tensor:
        return x.unflatten(1, (grid[0], -1))

    def in_order(self, groups: Tensor) -> Tensor:
        return groups.flatten(1, 2)


class TimeAttention(GroupedAttention):
    """Attention over the frames at one position in them."""

    def grouped(self, x: Tensor, grid: Grid) -> Tensor:
        return x.unflatten(1, (grid[0], -1)).transpose(1, 2)

    def in_order(self, groups: Tensor) -> Tensor:
        return groups.transpose(1, 2).flatten(1, 2)


class HubMlp(Mlp):
    """An MLP of transformers.

    Args:
        norm: runs before it.
        fc1: to the hidden neurons.
        act: their activation.
        fc2: and back.
        dropout: of what the branch adds.
    """

    def __init__(
        self, norm: nn.Module, fc1: nn.Linear, act: nn.Module, fc2: nn.Linear, dropout: nn.Module
    ) -> None:
        Branch.__init__(self, dropout)
        self.norm = norm
        self.fc1 = fc1
        self.act = act
        self.fc2 = fc2
        self.dropout = nn.Identity()
        self.divide(evenly(fc2.in_features, NEURON_GROUPS))


def branches_of(
    layer: Any, num_heads: int, kind: type[HubAttention] = HubAttention
) -> dict[str, Branch]:
    """Attention and MLP of a layer of transformers whose parts are called as in most of its ViTs.

    Args:
        layer: has ``layernorm_before``, ``attention`` with ``o_proj``, ``layernorm_after``,
            ``mlp`` with ``fc1``, ``activation_fn`` and ``fc2``, and ``dropout``.
        num_heads: of its attention.
        kind: among which tokens it attends.
    """
    proj = taken_out(layer.attention, "o_proj")
    attention = kind(layer.layernorm_before, layer.attention, proj, num_heads, layer.dropout)
    fc1, act, fc2 = layer.mlp.fc1, layer.mlp.activation_fn, layer.mlp.fc2
    mlp = HubMlp(layer.layernorm_after, fc1, act, fc2, layer.dropout)
    return {"attention": attention, "mlp": mlp}


def taken_out(module: nn.Module, name: str) -> nn.Linear:
    """A linear layer of ``module``, which passes on what comes in from then on."""
    layer = getattr(module, name)
    setattr(module, name, nn.Identity())
    return layer
