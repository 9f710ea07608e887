"""Where heads look: attention weights to maps over the frames.

A map is the attention that each space-time token receives in a head: ``m[j] = sum_i s[i] a[i, j]``
with ``a[i, j]`` the weight of query i for token j, zero where i does not see j. ``query=mean``
averages over the N patch tokens (``s[i] = 1 / N``), ``query=cls`` takes the class token's row. What
goes to the class token or to padding is not in the map. The models say where their tokens lie
(:meth:`vitprune.models.chain.Attention.received`), so that nothing here knows an architecture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from vitprune.errors import InputError
from vitprune.importance import Unit, units_of
from vitprune.importance.engine import evaluating
from vitprune.models import Tokens, VideoTransformer
from vitprune.models.chain import Attention, Grid, PartedBranch
from vitprune.models.finite import check_attention, check_logits
from vitprune.models.grids import nearest, spread
from vitprune.models.places import Place, blocks_of, places_of, resolved

QUERIES = ("mean", "cls")
ROLLOUT = "rollout"


@dataclass(frozen=True)
class AttentionMap:
    """Where one head looks in B clips.

    Attributes:
        tokens: attention that each token receives, [B, t, h, w]; a clip's sums to at most one.
        axes: which tokens each frame, row and column of pixels belongs to, [T, t], [H, h], [W, w].
    """

    tokens: Tensor
    axes: tuple[Tensor, Tensor, Tensor]

    def pixels(self) -> Tensor:
        """Density over the clip's pixels, 1 where attention is as if spread evenly: [B, T, H, W].

        Relative to the attention that lies on the frames at all, so each clip's mean is one.
        """
        density = spread(self.tokens, self.axes)
        return density / density.mean((-3, -2, -1), keepdim=True).clamp_min(1e-30)

    def cpu(self) -> AttentionMap:
        """The same in main memory, where the axes are."""
        return AttentionMap(self.tokens.cpu(), self.axes)

    def sizes(self) -> str:
        """How fine the map is, in words: ``4 x 8 x 8 tokens``."""
        return " x ".join(map(str, self.tokens.shape[1:])) + " tokens"


def check_heads(model: VideoTransformer, names: Sequence[str | float]) -> list[Unit]:
    """The heads that are written ``names``, as :meth:`vitprune.importance.Unit.parse` reads them.

    Args:
        model: whose heads.
        names: ``22.10``, ``22h10``, ``3.time.5``; or the number 22.1, which is what a configuration
            makes of ``22.1`` and ``22.10`` alike.

    Raises:
        InputError: one that the model does not have, or a number that is two of its heads; says
            which there are.
    """
    return [_head(model, name) for name in names]


def _head(model: VideoTransformer, name: str | float) -> Unit:
    known = units_of(model, "head")
    if isinstance(name, float):
        same = [unit for unit in known if not unit.branch and float(str(unit)) == name]
        if len(same) == 1:
            return same[0]
        if same:
            ways = " or ".join(f"{unit.layer}h{unit.number}" for unit in same)
            raise InputError(
                f"head={name} may be head {' or '.join(map(str, same))}, which are one number to a "
                f"configuration; write {ways}"
            )
    try:
        unit = resolved(model, Unit.parse(str(name)))
    except ValueError:
        unit = None
    if unit is None or unit.scope != "head":
        raise InputError(f"head={name} is no head; write layer.head, as in {known[-1]}")
    if unit not in known:
        beside = [other for other in known if other.layer == unit.layer]
        there = (
            f"layer {unit.layer} has {', '.join(map(str, beside))}"
            if beside
            else f"it has layers {', '.join(map(str, model.layers))}"
        )
        raise InputError(f"head={name} does not exist in {model.spec.name}; {there}")
    return unit


def attention_maps(
    model: VideoTransformer,
    clips: Tensor,
    heads: Sequence[Unit],
    query: str = "mean",
    names: Sequence[str] | None = None,
) -> dict[Unit, AttentionMap]:
    """Where ``heads`` look in clips [B, 3, T, H, W]; one forward pass for all of them.

    Args:
        model: whose heads.
        clips: what it is shown.
        heads: which.
        query: ``mean`` or ``cls``.
        names: of the B clips, for errors.

    Raises:
        InputError: ``query=cls`` where there is no class token, or a head without one.
        NotFinite: a logit or a map is nan or infinite.
    """
    wanted: dict[PartedBranch, list[Place]] = {}
    for place in places_of(model, heads).values():
        wanted.setdefault(place.parted, []).append(place)
    size: Grid = (clips.shape[2], clips.shape[3], clips.shape[4])
    maps: dict[Unit, AttentionMap] = {}

    def keep(places: Sequence[Place], seen: Step) -> None:
        grid, (first, *_) = seen.before.grid, places
        received = seen.received(_queries(seen.after, query, first.unit))[:, :, -math.prod(grid) :]
        tokens, axes = received.unflatten(2, grid), model.pixel_axes(first.block, grid, size)
        for place in places:
            maps[place.unit] = AttentionMap(tokens[:, place.part], axes)

    with evaluating(model), torch.no_grad(), _Watch() as watch:
        for attention, places in wanted.items():
            watch(attention, partial(keep, places))
        logits = model(clips)
    check_logits(logits, model, clips, names)
    for unit, found in maps.items():
        check_attention(found.tokens, f"head {unit}", model, logits, names)
    if query == "cls" and (blind := [str(u) for u in maps if not maps[u].tokens.any()]):
        raise InputError(
            f"query=cls: the class token has no part in the attention of head {blind[0]}; "
            "use query=mean"
        )
    return {unit: maps[unit] for unit in heads}


def rollout(
    model: VideoTransformer, clips: Tensor, names: Sequence[str] | None = None
) -> AttentionMap:
    """Attention rollout: how much each embedded token reaches what is read out.

    ``r <- (r + r A) / 2`` from the last attention to the first, A being the mean over the heads
    and the 1/2 the residual path (Abnar and Zuidema 2020, arXiv:2005.00928). It starts from the
    class token where there is one, otherwise from all tokens alike. Where a step makes a grid
    coarser, r is put back on the finer one. Only vectors are rolled, no N x N matrices.

    Args:
        model: whose attention.
        clips: [B, 3, T, H, W].
        names: of the B clips, for errors.

    Raises:
        NotFinite: a logit or a map is nan or infinite.
    """
    steps: list[Step] = []
    with evaluating(model), torch.no_grad(), _Watch() as watch:
        for block in blocks_of(model):
            for module in (*block.before, *block.branches.values()):
                watch(module, steps.append)
        logits = model(clips)
        last = steps[-1].after
        share = _queries(last, "cls" if _has_class_token(last) else "mean", None)
        for step in reversed(steps):
            share = step.rolled_back(share, model.centred)
    check_logits(logits, model, clips, names)
    check_attention(share, ROLLOUT, model, logits, names)
    grid = steps[0].before.grid
    received = share[:, -math.prod(grid) :].unflatten(1, grid).float()
    size: Grid = (clips.shape[2], clips.shape[3], clips.shape[4])
    axes = [  # of embedded tokens: before any patch merging, whatever layers were dropped
        nearest(pixels, tokens, pitch, model.centred)
        for pixels, tokens, pitch in zip(size, grid, model.patch, strict=True)
    ]
    return AttentionMap(
        received / received.sum((1, 2, 3), keepdim=True), (axes[0], axes[1], axes[2])
    )


@dataclass(frozen=True)
class Step:
    """What was seen of one step of the chain: tokens in and out, and attention weights if any."""

    module: nn.Module
    before: Tokens
    after: Tokens
    weights: Tensor | None

    def received(self, queries: Tensor) -> Tensor:
        """[B, H, N] from [B, N']."""
        assert isinstance(self.module, Attention)
        assert self.weights is not None
        return self.module.received(self.weights.float(), queries, self.before.grid)

    def rolled_back(self, share: Tensor, centred: bool) -> Tensor:
        """Shares of the tokens that come out, [B, N'], to shares of those that go in, [B, N]."""
        attended = None if self.weights is None else self.received(share).mean(1)
        fine, coarse = self.before.grid, self.after.grid
        if fine != coarse:
            axes = [
                nearest(n, m, 1 if n == m else 2, centred)
                for n, m in zip(fine, coarse, strict=True)
            ]
            count = math.prod(coarse)
            spread_share = spread(share[:, -count:].unflatten(1, coarse), axes)
            share = torch.cat([share[:, :-count], spread_share.flatten(1)], dim=1)
        return share if attended is None else (share + attended) / 2


class _Watch:
    """Forward hooks and observers that are taken off on leaving."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def __call__(self, module: nn.Module, see: Callable[[Step], object]) -> None:
        held: list[Tensor] = []
        if isinstance(module, Attention):
            module.observer = held.append
            self._undo.append(lambda: setattr(module, "observer", None))

        def hook(module: nn.Module, inputs: tuple[Tokens], after: Tokens) -> None:
            see(Step(module, inputs[0], after, held.pop() if held else None))

        self._undo.append(module.register_forward_hook(hook).remove)

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *error: object) -> None:
        for undo in self._undo:
            undo()


def _has_class_token(tokens: Tokens) -> bool:
    return tokens.x.shape[1] > math.prod(tokens.grid)


def _queries(tokens: Tokens, query: str, head: Unit | None) -> Tensor:
    """How much each token counts as a query, [B, N']."""
    batch, count = tokens.x.shape[:2]
    patches = math.prod(tokens.grid)
    queries = torch.zeros(batch, count, device=tokens.x.device)
    if query == "mean":
        queries[:, -patches:] = 1 / patches
    elif not _has_class_token(tokens):
        raise InputError(f"query=cls: this model has no class token (head {head}); use query=mean")
    else:
        queries[:, 0] = 1
    return queries
