"""Bridges: affine maps of tokens in the place of dropped layers.

A bridge stands where the last of the dropped layers ended: behind what stays of them, and in front
of what precedes the next layer that is there. There it can be fitted in closed form to what the
full model has at that place (``vitprune.recovery``). ReplaceMe (arXiv:2505.02819) puts one linear
map in the place of consecutive blocks of a language model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from vitprune.models.chain import Block, Tokens, VideoTransformer
from vitprune.models.dropping import drop_units
from vitprune.models.unit import Units, read_units
from vitprune.models.walking import START, layer_end, walk

KINDS = ("scale", "low_rank", "full")


class Bridge(nn.Module):
    """``x + update(x)`` for every token x, where the update is affine.

    Args:
        place: number of the layer that ended here in the unpruned model.
        width: of a token, C.
        kind: ``scale`` (each channel by itself, 2 C parameters), ``low_rank`` or ``full``.
        rank: of ``low_rank``.
    """

    def __init__(self, place: int, width: int, kind: str = "full", rank: int | None = None) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"no kind of bridge {kind!r}; there are {', '.join(KINDS)}")
        self.place, self.width, self.kind = place, width, kind
        self.rank = (rank or 1) if kind == "low_rank" else None
        self.update: nn.Module
        if kind == "scale":
            self.update = _Scale(width)
        elif kind == "low_rank":
            down = nn.Linear(width, self.rank or 1, bias=False)
            self.update = nn.Sequential(down, nn.Linear(self.rank or 1, width))
        else:
            self.update = nn.Linear(width, width)

    def forward(self, tokens: Tokens) -> Tokens:
        return Tokens(tokens.x + self.update(tokens.x), tokens.grid)

    @torch.no_grad()
    def become(self, weight: Tensor, bias: Tensor) -> None:
        """Let the update be ``x @ weight + bias``.

        Args:
            weight: [C, C]; diagonal for ``scale``, of the bridge's rank for ``low_rank``.
            bias: [C].
        """
        update = self.update
        if isinstance(update, _Scale):
            update.weight.copy_(weight.diagonal())
            update.bias.copy_(bias)
        elif isinstance(update, nn.Sequential):
            u, s, v = torch.linalg.svd(weight, full_matrices=False)
            root = s[: self.rank].sqrt()
            down, up = cast("Sequence[nn.Linear]", update)
            down.weight.copy_((u[:, : self.rank] * root).T)
            up.weight.copy_(v[: self.rank].T * root)
            up.bias.copy_(bias)
        else:
            linear = cast(nn.Linear, update)
            linear.weight.copy_(weight.T)
            linear.bias.copy_(bias)

    def map(self) -> tuple[Tensor, Tensor]:
        """The whole map, float64: it gives ``x @ weight + bias``, [C, C] and [C]."""
        identity = torch.eye(self.width, dtype=torch.float64, device=next(self.parameters()).device)
        update = copy.deepcopy(self.update).double()
        with torch.no_grad():
            bias = update(torch.zeros_like(identity[0]))
            return identity + update(identity) - bias, bias

    def absorb(self, weight: Tensor, bias: Tensor) -> bool:
        """Let the bridge give ``y @ weight + bias`` for what is now its output y; in place.

        Returns:
            Whether it can: a matrix takes up any map, a factor for each channel another such one.
        """
        scaling = torch.equal(weight, torch.diag(weight.diagonal()))
        if self.kind != "full" and not (self.kind == "scale" and scaling):
            return False
        own, offset = self.map()
        self.become(own @ weight - torch.eye(self.width).to(weight), offset @ weight + bias)
        return True

    def described(self) -> dict[str, Any]:
        """What is needed to make the same anew, but for its weights."""
        return {"place": self.place, "width": self.width, "kind": self.kind, "rank": self.rank}


class _Scale(nn.Module):
    """A factor and an offset for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight + self.bias


def bridges(model: VideoTransformer) -> list[Bridge]:
    """A model's bridges, in order of execution."""
    in_order = [*model.blocks, model.after]
    return [part for one in in_order for part in one.modules() if isinstance(part, Bridge)]


def reach(model: VideoTransformer, clips: Tensor, place: int) -> Tokens:
    """The tokens where layer ``place`` ends, or ended before it was dropped.

    Args:
        model: full or pruned.
        clips: [B, 3, T, H, W].
        place: number of a layer of the unpruned model.
    """
    return walk(model, model.embed(clips), START, layer_end(model, place))


def insert(model: VideoTransformer, bridge: Bridge) -> None:
    """Put a bridge at its place, behind whatever stands there already; in place."""
    modules, position = _place(model, bridge.place)
    modules.insert(position, bridge)


def fold(model: VideoTransformer, bridge: Bridge) -> bool:
    """Let what stands in front of a bridge's place do its work, if it can do so exactly; in place.

    That is an embedding, where the first layers are gone, a projection that stays of a dropped
    layer, or another bridge: so no parameters are added.

    Returns:
        Whether it does. If not, nothing has changed.
    """
    modules, position = _place(model, bridge.place)
    if position:
        before: nn.Module = modules[position - 1]
    elif modules is cast(Block, model.blocks[0]).before:
        before = model
    else:
        return False  # a layer ends there: its residual path goes past all that is linear in it
    absorb = getattr(before, "absorb", None)
    absorbed = absorb is not None and bool(absorb(*bridge.map()))
    if absorbed and isinstance(before, Bridge):
        before.place = bridge.place
    return absorbed


def _place(model: VideoTransformer, place: int) -> tuple[nn.Sequential, int]:
    """The modules among which a bridge stands, and how many of them come before it."""
    number, _ = layer_end(model, place)
    if number == len(model.blocks):
        return model.after, len(model.after)
    block = cast(Block, model.blocks[number])
    return block.before, len(block.before) - block.own


def take_apart(
    model: VideoTransformer, dropped: Units, described: Sequence[Mapping[str, Any]]
) -> VideoTransformer:
    """A model without some units and with bridges of no particular weights: as a checkpoint says.

    Args:
        model: unpruned.
        dropped: the units that are not there.
        described: :meth:`Bridge.described` of each, in order of execution.
    """
    left = set(read_units(dropped))
    for one in described:
        # What is dropped behind a bridge carries it along, so it has to be there by then.
        gone = {unit for unit in left if unit.layer <= one["place"]}
        model, left = drop_units(model, sorted(gone)) if gone else model, left - gone
        insert(model, Bridge(**one))
    return drop_units(model, sorted(left)) if left else model
