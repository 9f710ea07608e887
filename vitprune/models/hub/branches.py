"""The branches of transformers' layers, made of the layers' own modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vitprune.models.attention import attend
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
        original: transformers' module, which begins with q, k and v and whose output projection
            has been taken out: it ends in the heads, [B, N, H * D].
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
        super().__init__(dropout)
        self.num_heads = num_heads
        self.norm = norm
        self.original = original
        self.proj = proj

    @property
    def observer(self) -> Callable[[Tensor], None] | None:  # type: ignore[override]
        """See the base. It is kept where :func:`attention_interface` finds it."""
        return getattr(self.original, "observer", None)

    @observer.setter
    def observer(self, observe: Callable[[Tensor], None] | None) -> None:
        self.original.observer = observe  # type: ignore[assignment]

    def heads(self, tokens: Tokens) -> Tensor:
        return self.original(self.norm(tokens.x))[0].unflatten(-1, (self.num_heads, -1))

    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        return torch.einsum("bn,bhnm->bhm", queries, weights)


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
        self.act = act  # type: ignore[assignment]
        self.fc2 = fc2
        self.dropout = nn.Identity()  # type: ignore[assignment]


def taken_out(module: nn.Module, name: str) -> nn.Linear:
    """A linear layer of ``module``, which passes on what comes in from then on."""
    layer = getattr(module, name)
    setattr(module, name, nn.Identity())
    return layer
