"""The residual branches of a layer, and the parts that some of them are made of.

A :class:`Branch` adds an update to its residual path. In an :class:`Attention` the update is a sum
over heads, in an :class:`Mlp` one over groups of hidden neurons: both are :class:`PartedBranch` es,
and one mechanism ablates and drops what they are made of. What stays of a branch that was dropped
is a :class:`Residual`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

Grid = tuple[int, int, int]

NEURON_GROUPS = 8
"""Into how many groups an MLP's hidden neurons go, where nothing else is said."""


class Tokens(NamedTuple):
    """A batch of token sequences and the space-time grid that they fill.

    ``x`` is [B, N, C]. The patch tokens lie in the order of ``grid`` = (T, H, W), W fastest; a
    class token, if the model has one, comes first, so N is T*H*W or T*H*W + 1.
    """

    x: Tensor
    grid: Grid


class Branch(nn.Module, ABC):
    """One residual step of a block: ``skip(tokens) + update(tokens)``.

    Subclasses write :meth:`update`, and :meth:`skip` with :meth:`leftover` where the residual
    path is not the identity.
    """

    ablated: bool = False
    """Whether it runs as if the branch were absent."""
    gate: Tensor | None = None
    """Scales the update where it is set, for gradients: a scalar, or [B, 1, 1]."""

    def __init__(self, drop_path: nn.Module | None = None) -> None:
        super().__init__()
        self.drop_path = drop_path or nn.Identity()

    @abstractmethod
    def update(self, tokens: Tokens) -> Tensor:
        """What the branch adds to its residual path: [B, N', C'], shaped as ``skip(tokens).x``."""

    def skip(self, tokens: Tokens) -> Tokens:
        """The residual path alone: what is left of the step without its branch."""
        return tokens

    def leftover(self) -> nn.Module | None:
        """A module that computes :meth:`skip` with its own parameters; None for the identity."""
        return None

    def forward(self, tokens: Tokens) -> Tokens:
        skip = self.skip(tokens)
        if self.ablated:
            return skip
        update = self.drop_path(self._added(tokens, skip))
        if self.gate is not None:
            update = update * self.gate
        return Tokens(skip.x + update, skip.grid)  # torch 2.6 cannot compile _replace

    def _added(self, tokens: Tokens, skip: Tokens) -> Tensor:
        return self.update(tokens)

    @property
    def touched(self) -> bool:
        """Whether it is ablated or has a gate set."""
        return self.ablated or self.gate is not None


class Residual(Branch):
    """What stays of a branch that was dropped: its residual path.

    Args:
        path: the branch's ``leftover()``.
    """

    def __init__(self, path: nn.Module | None) -> None:
        super().__init__()
        self.path = path

    def update(self, tokens: Tokens) -> Tensor:
        return torch.zeros_like(self.skip(tokens).x)

    def skip(self, tokens: Tokens) -> Tokens:
        return tokens if self.path is None else self.path(tokens)

    def leftover(self) -> nn.Module | None:
        return self.path

    def forward(self, tokens: Tokens) -> Tokens:
        return self.skip(tokens)


class PartedBranch(Branch):
    """A branch whose update is a sum over parts, and a bias.

    Each part goes through columns of its own of the branch's last linear layer, whose bias is of no
    part. Subclasses write :meth:`parts`, :meth:`last` and :meth:`keep`, and call :meth:`divide`.

    A branch all of whose parts were dropped still adds that bias. Without it, drop the branch.
    """

    part_gate: Tensor | None = None
    """Scales what each part puts into the last linear layer where it is set: [P] or [B, P]."""
    numbers: tuple[int, ...]
    """The P parts that are there, by their numbers in the unpruned model, ascending."""
    widths: tuple[int, ...]
    """How many columns of the last linear layer each of them has."""
    num_parts: int
    """Of the unpruned model."""
    acts_on: slice = slice(None)
    """The tokens that it adds anything to."""

    @abstractmethod
    def parts(self, tokens: Tokens) -> Tensor:
        """What goes into the last linear layer, part by part and ungated: [B, N', sum(widths)]."""

    @property
    @abstractmethod
    def last(self) -> nn.Linear:
        """The last linear layer."""

    @abstractmethod
    def keep(self, which: Sequence[int]) -> None:
        """Let go, in place, of all that only other parts need, but for the last linear layer.

        Args:
            which: of the P parts stay, from 0 to P - 1, ascending.
        """

    def divide(self, widths: Sequence[int]) -> None:
        """Number the parts of an unpruned branch, of these many columns each."""
        self.numbers, self.widths = tuple(range(len(widths))), tuple(widths)
        self.num_parts = len(widths)

    @property
    def whole(self) -> bool:
        """Whether no part was dropped."""
        return len(self.numbers) == self.num_parts

    def columns(self, number: int) -> slice:
        """Where a part lies in what goes into the last linear layer."""
        part = self.numbers.index(number)
        start = sum(self.widths[:part])
        return slice(start, start + self.widths[part])

    def project(self, parts: Tensor) -> Tensor:
        """The last linear layer, with its bias: [B, N', sum(widths)] -> [B, N', C']."""
        return self.last(parts)

    def contribution(self, parts: Tensor, number: int) -> Tensor:
        """What a part alone adds to ``project(parts)``, without the bias: [B, N', C'].

        ``project(parts) - contribution(parts, n)`` is the projection with part n ablated.
        """
        columns = self.columns(number)
        return nn.functional.linear(parts[..., columns], self.last.weight[:, columns])

    def present(self, tokens: Tokens) -> Tensor:
        """:meth:`parts`, of no columns where no part is left."""
        return self.parts(tokens) if self.numbers else self.skip(tokens).x[..., :0]

    @torch.no_grad()
    def add(self, weight: Tensor, bias: Tensor) -> None:
        """Have the update be ``parts @ weight + bias`` more than it is; in place.

        Args:
            weight: [sum(widths), C'].
            bias: [C'].
        """
        self.last.weight.add_(weight.T)
        self.last.bias.add_(bias)

    def update(self, tokens: Tokens) -> Tensor:
        parts = self.present(tokens)
        if self.part_gate is not None:
            parts = parts * self._spread(self.part_gate).to(parts.dtype)
        return self.project(parts)

    def _added(self, tokens: Tokens, skip: Tokens) -> Tensor:
        # Without any part, all that is needed of the residual path is its shape.
        return self.update(tokens) if self.numbers else self.project(skip.x[..., :0])

    def drop(self, numbers: Collection[int]) -> None:
        """Let go of parts for good, in place; the others keep their numbers."""
        which = [i for i, number in enumerate(self.numbers) if number not in numbers]
        keep_inputs(self.last, rows_of(self.widths, which))
        self.keep(which)
        self.numbers = tuple(self.numbers[i] for i in which)
        self.widths = tuple(self.widths[i] for i in which)

    def _spread(self, gate: Tensor) -> Tensor:
        """[P] or [B, P] to [1 or B, 1, sum(widths)]."""
        widths = torch.tensor(self.widths, device=gate.device)
        spread = gate.repeat_interleave(widths, dim=-1, output_size=sum(self.widths))
        return spread.view(-1, 1, spread.shape[-1])

    @property
    def touched(self) -> bool:
        return super().touched or self.part_gate is not None


class Attention(PartedBranch):
    """Multi-head self-attention as a residual branch; the base of every architecture's.

    Subclasses write :meth:`heads` (calling :func:`vitprune.models.attention.attend` with
    ``observe=self.observer``) and name their output projection ``proj``. If one linear layer
    ``qkv``, whose outputs are [3, H, D], makes all queries, keys and values, and there is nothing
    else of which each head has its own, that is all; otherwise they write :meth:`keep`, too.

    Args:
        num_heads: H.
        head_dim: D.
        drop_path: of what the branch adds.
    """

    proj: nn.Linear
    qkv: nn.Linear
    observer: Callable[[Tensor], None] | None = None
    """Is handed the attention weights [..., H, queries, keys] of every call where it is set."""

    def __init__(self, num_heads: int, head_dim: int, drop_path: nn.Module | None = None) -> None:
        super().__init__(drop_path)
        self.divide([head_dim] * num_heads)

    @property
    def num_heads(self) -> int:
        """H: how many heads are there."""
        return len(self.numbers)

    @property
    def last(self) -> nn.Linear:
        return self.proj

    @abstractmethod
    def heads(self, tokens: Tokens) -> Tensor:
        """What every head puts into the output projection, ungated: [B, N', H, D].

        Its tokens are in the order of ``skip(tokens)``'s, not of windows or frames. It is not
        called where no head is left.
        """

    @abstractmethod
    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        """How much attention each token that comes in receives, per head: [B, H, N].

        It undoes how :meth:`heads` lays out tokens for attention: windows are put back where
        they were, pooled keys go to the positions that they were pooled from, copies of the class
        token are added up. Attention to padding is cut off, so a head's row sums to ``queries``'
        sum less what went to padding.

        Args:
            weights: as the ``observer`` gets them.
            queries: how much each token that goes out counts as a query, [B, N'].
            grid: of the tokens that come in.
        """

    def parts(self, tokens: Tokens) -> Tensor:
        return self.heads(tokens).flatten(2)

    def keep(self, which: Sequence[int]) -> None:
        rows, every = rows_of(self.widths, which), sum(self.widths)
        keep_outputs(self.qkv, [i * every + row for i in range(3) for row in rows])


class Mlp(PartedBranch):
    """Norm, linear, GELU, linear.

    Its parts are groups of hidden neurons, in order: of n neurons in G groups, group i has those
    from ``i * n // G`` to ``(i + 1) * n // G``.
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        out: int | None = None,
        *,
        norm: nn.Module,
        dropout: float = 0.0,
        drop_path: nn.Module | None = None,
    ) -> None:
        super().__init__(drop_path)
        self.norm = norm
        self.fc1 = nn.Linear(dim, hidden)
        self.act: nn.Module = nn.GELU()
        self.fc2 = nn.Linear(hidden, out or dim)
        self.dropout: nn.Module = nn.Dropout(dropout)
        self.divide(evenly(hidden, NEURON_GROUPS))

    @property
    def last(self) -> nn.Linear:
        return self.fc2

    def group(self, groups: int) -> None:
        """Divide the hidden neurons into groups; into one each where they are fewer.

        All must still be there.
        """
        self.divide(evenly(self.fc1.out_features, groups))

    def reorder(self, order: Sequence[int]) -> None:
        """Let hidden neuron ``order[i]`` be the i-th, in place; what comes out stays the same.

        All must still be there.
        """
        keep_outputs(self.fc1, order)
        keep_inputs(self.fc2, order)

    def parts(self, tokens: Tokens) -> Tensor:
        return self.dropout(self.act(self.fc1(self.norm(tokens.x))))

    def project(self, parts: Tensor) -> Tensor:
        return self.dropout(super().project(parts))

    def keep(self, which: Sequence[int]) -> None:
        keep_outputs(self.fc1, rows_of(self.widths, which))


def evenly(count: int, groups: int) -> list[int]:
    """The sizes of groups of which none is empty."""
    groups = min(groups, count)
    ends = [i * count // groups for i in range(groups + 1)]
    return [end - start for start, end in pairwise(ends)]


def rows_of(widths: Sequence[int], which: Sequence[int]) -> list[int]:
    """The rows of some of the parts that lie one after the other, of these widths."""
    starts = [0, *accumulate(widths)]
    return [row for part in which for row in range(starts[part], starts[part + 1])]


def keep_outputs(linear: nn.Linear, rows: Sequence[int]) -> None:
    """Leave a linear layer only these of its outputs, in place."""
    linear.weight = kept(linear.weight, 0, rows)
    if linear.bias is not None:
        linear.bias = kept(linear.bias, 0, rows)
    linear.out_features = len(rows)


def keep_inputs(linear: nn.Linear, columns: Sequence[int]) -> None:
    """Leave a linear layer only these of its inputs, in place."""
    linear.weight = kept(linear.weight, 1, columns)
    linear.in_features = len(columns)


def kept(parameter: Tensor, dim: int, which: Sequence[int]) -> nn.Parameter:
    """A parameter of its own with some of a dimension's entries."""
    index = torch.tensor(which, dtype=torch.long, device=parameter.device)
    return nn.Parameter(parameter.detach().index_select(dim, index), parameter.requires_grad)
