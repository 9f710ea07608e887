"""Video Swin Transformer.

Liu et al.: Video Swin Transformer, CVPR 2022, https://arxiv.org/abs/2106.13230.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.swin_transformer import PatchMerging
from torchvision.models.video.swin_transformer import PatchEmbed3d
from torchvision.ops import StochasticDepth

from vitprune.models.affine import follow_norm
from vitprune.models.attention import attend, geometry
from vitprune.models.branches import kept
from vitprune.models.chain import (
    Attention,
    Block,
    Grid,
    Mlp,
    ModelSpec,
    Tokens,
    VideoTransformer,
)
from vitprune.models.formats import State
from vitprune.models.positions import misfits
from vitprune.models.registry import architecture
from vitprune.models.video_swin.weights import FORMATS, KINETICS400, resize_bias


@dataclass(frozen=True)
class Variant:
    """One size of the architecture."""

    num_frames: int = 32
    image_size: int = 224
    patch_size: Grid = (2, 4, 4)
    dim: int = 96
    depths: tuple[int, ...] = (2, 2, 6, 2)
    num_heads: tuple[int, ...] = (3, 6, 12, 24)
    window: Grid = (8, 7, 7)
    drop_path: float = 0.1
    head_norm: bool = False
    """Whether a norm of its own precedes the classifier, as in some that users have rebuilt."""


VARIANTS = {
    "t": Variant(),
    "s": Variant(depths=(2, 2, 18, 2)),
    "b": Variant(dim=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
    "tiny": Variant(
        num_frames=8,
        image_size=64,
        dim=16,
        depths=(2, 2, 18, 2),
        num_heads=(1, 2, 4, 8),
        window=(4, 4, 4),
        drop_path=0.0,
    ),
}


class Windows(NamedTuple):
    """G windows, or parts of windows, of n tokens each; a token attends to all in its own."""

    tokens: Tensor
    """[G, n]: numbers of the windows' tokens; one past the last stands for padding."""
    rows: Tensor
    """[K, n, n]: the row of the bias table that holds for each pair of tokens, for K kinds of
    windows; one past the last stands for a pair that must not attend."""
    kind: Tensor
    """[G]: the kind of each window."""


@geometry
def _windows(
    grid: Grid, window: Grid, shift: Grid, split: bool, device: torch.device
) -> tuple[Windows, ...]:
    """How (shifted) windows cut up a grid that is padded at its end to whole windows.

    The shift is cyclic: a window at the border has tokens from opposite borders, that must not
    attend to each other. If ``split``, the parts of such a window go as windows of their own: more
    steps, but no masks and less to compute. Otherwise all windows come in one step, with masks.
    """
    # Along an axis that one window spans there is no shift.
    fit = [(w, s) if n > w else (n, 0) for n, w, s in zip(grid, window, shift, strict=True)]
    token = region = torch.zeros((), dtype=torch.long)
    padding = torch.zeros((), dtype=torch.bool)
    for n, (w, s) in zip(grid, fit, strict=True):
        padded = -(-n // w) * w
        position = torch.arange(padded)
        coordinate = (position + s) % padded
        token = token[..., None] * n + coordinate
        region = region[..., None] * 2 + (position >= padded - s)
        padding = padding[..., None] | (coordinate >= n)
    token[padding] = math.prod(grid)
    tokens, regions = (_partition(x, [w for w, _ in fit]) for x in (token, region))

    # A pair's row is the difference of its tokens' offsets, counted from the middle row. As in
    # the original, tokens in a window that was cut down to the grid are numbered through the
    # whole window.
    strides = ((2 * window[1] - 1) * (2 * window[2] - 1), 2 * window[2] - 1, 1)
    positions = torch.stack(torch.unravel_index(torch.arange(tokens.shape[1]), window))
    offset = (positions * torch.tensor(strides)[:, None]).sum(0)
    middle = sum((w - 1) * stride for w, stride in zip(window, strides, strict=True))
    rows = offset[:, None] - offset + middle

    if not split:
        kinds, kind = regions.unique(dim=0, return_inverse=True)
        apart = kinds[:, :, None] != kinds[:, None]
        rows = rows.expand_as(apart).masked_fill(apart, 2 * middle + 1)
        return (Windows(tokens.to(device), rows.to(device), kind.to(device)),)
    alike: dict[tuple[int, ...], list[Tensor]] = {}
    rows_of: dict[tuple[int, ...], Tensor] = {}
    for window_tokens, window_regions in zip(tokens, regions, strict=True):
        for part in window_regions.unique():
            inside = (window_regions == part).nonzero()[:, 0]
            shape = tuple((offset[inside] - offset[inside[0]]).tolist())
            alike.setdefault(shape, []).append(window_tokens[inside])
            rows_of[shape] = rows[inside[:, None], inside]
    return tuple(
        Windows(
            torch.stack(same).to(device),
            rows_of[shape][None].to(device),
            torch.zeros(len(same), dtype=torch.long, device=device),
        )
        for shape, same in alike.items()
    )


def _partition(x: Tensor, window: Sequence[int]) -> Tensor:
    """[T, H, W] to [G, n]: what lies in each window."""
    for axis, size in enumerate(window):
        x = x.unflatten(2 * axis, (-1, size))
    return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(0, 2)


@geometry
def _order(
    batch: int, grid: Grid, window: Grid, shift: Grid, split: bool, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Where each token goes and comes from when a batch is cut into windows.

    Returns:
        The numbers of the batch's tokens, clip by clip, in the order of windows: [B, G, n] of
        the first :class:`Windows`, and so on; one past the last stands for padding. And the
        inverse: where to find each token of the batch in that order, [B * N].
    """
    count = math.prod(grid)
    clip = torch.arange(batch, device=device)[:, None, None] * count
    order = torch.cat(
        [
            torch.where(windows.tokens < count, clip + windows.tokens, batch * count).flatten()
            for windows in _windows(grid, window, shift, split, device)
        ]
    )
    inverse = torch.empty(batch * count + 1, dtype=torch.long, device=device)
    inverse[order] = torch.arange(len(order), device=device)
    return order, inverse[:-1]


class WindowAttention(Attention):
    """Attention within (shifted) windows, with a bias for each relative position.

    On a CPU windows at the border are taken apart, which saves masks and work (see
    :func:`_windows`); elsewhere one step is faster than several, and an observer gets whole
    windows: [B, windows, H, n, n].
    """

    def __init__(
        self, dim: int, num_heads: int, window: Grid, shift: Grid, drop_path: float
    ) -> None:
        super().__init__(num_heads, dim // num_heads, StochasticDepth(drop_path, "row"))
        self.window = window
        self.shift = shift
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(
            torch.zeros(math.prod(2 * w - 1 for w in window), num_heads)
        )

    def heads(self, tokens: Tokens) -> Tensor:
        batch = len(tokens.x)
        x = self.norm(tokens.x).flatten(0, 1)
        split = x.device.type == "cpu" and self.observer is None
        layout = (tokens.grid, self.window, self.shift, split, x.device)
        order, inverse = _order(batch, *layout)
        if len(order) > len(x):
            x = F.pad(x, (0, 0, 0, 1))
        qkv = self.qkv(x.index_select(0, order))
        table = F.pad(self.relative_position_bias_table.t(), (0, 1), value=NOT_ATTENDED)
        parts, start = [], 0
        for windows in _windows(*layout):
            number, size = windows.tokens.shape
            part = qkv[start : start + batch * number * size]
            start += len(part)
            q, k, v = part.view(batch, number, size, 3, self.num_heads, -1).permute(
                3, 0, 1, 4, 2, 5
            )
            heads = attend(q, k, v, self._bias(table, windows), observe=self.observer)
            parts.append(heads.transpose(2, 3).flatten(0, 2))
        return torch.cat(parts).index_select(0, inverse).unflatten(0, (batch, -1))

    def keep(self, which: Sequence[int]) -> None:
        super().keep(which)
        table = self.relative_position_bias_table
        self.relative_position_bias_table = kept(table, 1, which)

    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        layout = (grid, self.window, self.shift, False, queries.device)
        (windows,) = _windows(*layout)
        _, inverse = _order(1, *layout)
        shares = F.pad(queries, (0, 1))[:, windows.tokens]  # padding asks nothing
        return torch.einsum("bgn,bghnm->bhgm", shares, weights).flatten(2)[..., inverse]

    def _bias(self, table: Tensor, windows: Windows) -> Tensor:
        """[H, n, n], or [G, H, n, n] if there are several kinds of windows."""
        rows = windows.rows
        bias = table.gather(1, rows.flatten().expand(self.num_heads, -1))
        bias = bias.view(-1, *rows.shape)
        return bias[:, 0] if len(rows) == 1 else bias.transpose(0, 1)[windows.kind]


NOT_ATTENDED = -100.0
"""The score of a masked pair, as in the original."""
TABLE = "relative_position_bias_table"
INDEX = "relative_position_index"
"""What an attention's table of biases and, in others' files, its index of pairs are called."""


class Merge(nn.Module):
    """Patch merging: 2 x 2 neighbours become one token of twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.merge = PatchMerging(dim)

    def forward(self, tokens: Tokens) -> Tokens:
        x = self.merge(tokens.x.unflatten(1, tokens.grid))
        return Tokens(x.flatten(1, 3), tuple(x.shape[1:4]))


@architecture(
    "video_swin",
    title="Video Swin",
    variants=VARIANTS,
    formats=FORMATS,
    kinetics400=KINETICS400,
)
class VideoSwin(VideoTransformer):
    """A pyramid of attentions within windows, every other one shifted; the mean is read out."""

    def __init__(self, spec: ModelSpec, variant: Variant) -> None:
        super().__init__()
        self.spec = spec
        self.num_layers = sum(variant.depths)
        self.patch = variant.patch_size
        self.patch_embed = PatchEmbed3d(
            list(variant.patch_size), embed_dim=variant.dim, norm_layer=nn.LayerNorm
        )
        self.blocks = nn.ModuleList()
        dim = variant.dim
        for stage, depth in enumerate(variant.depths):
            for i in range(depth):
                index = len(self.blocks)
                drop_path = variant.drop_path * index / (self.num_layers - 1)
                t, h, w = variant.window
                branches = {
                    "attention": WindowAttention(
                        dim,
                        variant.num_heads[stage],
                        variant.window,
                        shift=(t // 2, h // 2, w // 2) if i % 2 else (0, 0, 0),
                        drop_path=drop_path,
                    ),
                    "mlp": Mlp(
                        dim,
                        4 * dim,
                        norm=nn.LayerNorm(dim),
                        drop_path=StochasticDepth(drop_path, "row"),
                    ),
                }
                before = [Merge(dim // 2)] if stage > 0 and i == 0 else []
                self.blocks.append(Block(index, branches, before, stride=2**stage))
            dim *= 2
        dim //= 2
        self.norm = nn.LayerNorm(dim)
        self.head_norm = nn.LayerNorm(dim) if variant.head_norm else nn.Identity()
        self.head = nn.Linear(dim, spec.num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, WindowAttention):
                nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)

    def embed(self, clips: Tensor) -> Tokens:
        """Clips [B, 3, T, H, W] of any size to tokens; what is no whole patch is padded."""
        x = self.patch_embed(clips)
        return Tokens(x.flatten(1, 3), tuple(x.shape[1:4]))

    def absorb(self, weight: Tensor, bias: Tensor) -> bool:
        return follow_norm(self.patch_embed.norm, weight, bias)

    def read_out(self, tokens: Tokens) -> Tensor:
        return self.head(self.head_norm(self.norm(tokens.x).mean(1)))

    @property
    def feature_norm(self) -> nn.LayerNorm | None:
        return self.head_norm if isinstance(self.head_norm, nn.LayerNorm) else self.norm

    def fit_classifier(self, state: State) -> None:
        if "head_norm.weight" in state and isinstance(self.head_norm, nn.Identity):
            self.head_norm = nn.LayerNorm(self.head.in_features)
            self.spec = replace(self.spec, config={"head_norm": True})

    def initialise_for_scratch(self, gain: float = 0.5) -> None:
        # Biases of about the size of scores tell places apart: there are no other positions here.
        super().initialise_for_scratch(gain)
        self.see_change_first(self.patch_embed.proj)
        for name, table in self.named_parameters():
            if name.endswith(TABLE):
                nn.init.normal_(table, std=1.0)

    def fit_positions(self, state: State) -> None:
        # The index says no more than for which window a table is.
        index = {name: state.pop(name) for name in list(state) if name.endswith(INDEX)}
        for name, table, _ in misfits(self, state):
            if name.endswith(TABLE):
                attention = self.get_submodule(name.removesuffix("." + TABLE))
                assert isinstance(attention, WindowAttention)
                pairs = index.get(name.replace(TABLE, INDEX))
                state[name] = resize_bias(table, pairs, attention.window)

    def no_weight_decay(self) -> set[str]:
        return {name for name, _ in self.named_parameters() if name.endswith(TABLE)}
