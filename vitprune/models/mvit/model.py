"""Multiscale Vision Transformers, versions 1 and 2.

Fan et al.: Multiscale Vision Transformers, ICCV 2021, https://arxiv.org/abs/2104.11227.
Li et al.: MViTv2: Improved Multiscale Vision Transformers for Classification and Detection,
CVPR 2022, https://arxiv.org/abs/2112.01526.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.video.mvit import Pool, PositionalEncoding
from torchvision.ops import StochasticDepth

from vitprune.models import positions
from vitprune.models.affine import follow, follow_offsets
from vitprune.models.attention import attend, geometry
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
from vitprune.models.grids import nearest, spread
from vitprune.models.mvit.weights import FORMATS, KINETICS400
from vitprune.models.registry import architecture

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


@dataclass(frozen=True)
class Variant:
    """One size of the architecture.

    The first layer of every stage but the first halves height and width and doubles the heads,
    while the width of a head stays. Keys and values are pooled over space with ``kv_stride`` in
    the first stage and half the previous stage's in each that follows.

    Args:
        pool_all_keys: whether keys and values are pooled also where that stride is 1, and so only
            filtered and normed. The code of 2021 that version 1 was published with did not.
    """

    version: int = 2
    num_frames: int = 16
    image_size: int = 224
    dim: int = 96
    depths: tuple[int, ...] = (1, 2, 11, 2)
    kv_stride: int = 8
    drop_path: float = 0.2
    dropout: float = 0.5
    pool_all_keys: bool = True


VARIANTS = {
    "v2_s": Variant(),
    "v1_b": Variant(version=1),
    "v1_b_2021": Variant(version=1, pool_all_keys=False),  # as PySlowFast's file of it is
    "tiny": Variant(num_frames=8, image_size=64, dim=16, kv_stride=4, drop_path=0.0, dropout=0.0),
}


def _pool_grid(x: Tensor, grid: Grid, pool: Callable[[Tensor], Tensor]) -> tuple[Tensor, Grid]:
    """Pools all tokens but the class token: [B, 1+N, C] to [B, 1+N', C], and the new grid.

    ``pool`` gets them as they lie in memory, channels last, for which its kernels are many times
    faster than for the layout that torchvision brings them into.
    """
    volume = pool(x[:, 1:].unflatten(1, grid).permute(0, 4, 1, 2, 3))
    pooled = volume.permute(0, 2, 3, 4, 1)
    grid = (pooled.shape[1], pooled.shape[2], pooled.shape[3])
    return torch.cat([x[:, :1], pooled.flatten(1, 3)], dim=1), grid


class HeadPool(Pool):
    """Pools the queries, keys or values of all heads over space-time, with the same weights.

    As torchvision's, for tokens [B, 1+N, H, D].
    """

    def __init__(self, dim: int, stride: int) -> None:
        conv = nn.Conv3d(dim, dim, 3, (1, stride, stride), padding=1, groups=dim, bias=False)
        super().__init__(conv, LayerNorm(dim))

    def forward(self, x: Tensor, thw: Grid) -> tuple[Tensor, Grid]:
        num_heads, dim = x.shape[2:]
        conv = partial(
            F.conv3d,
            weight=self.pool.weight.repeat(num_heads, 1, 1, 1, 1),
            stride=self.pool.stride,
            padding=self.pool.padding,
            groups=num_heads * dim,
        )
        pooled, grid = _pool_grid(x.flatten(2), thw, conv)
        return self.norm_act(pooled.unflatten(2, (num_heads, dim))), grid


class FramePool(nn.MaxPool2d):
    """Max pooling within each frame, of volumes [B, C, T, H, W].

    On a GPU the gradient of ``MaxPool3d`` is deterministic only in late versions of torch.
    """

    def forward(self, volume: Tensor) -> Tensor:
        frames = volume.transpose(1, 2)
        pooled = super().forward(frames.flatten(0, 1))
        return pooled.unflatten(0, frames.shape[:2]).transpose(1, 2)


def _pool_heads(x: Tensor, grid: Grid, pool: HeadPool | None) -> tuple[Tensor, Grid]:
    """Pools the queries, keys or values [B, 1+N, H, D] where there is something to pool with."""
    return (x, grid) if pool is None else pool(x, grid)


def _residual(
    tokens: Tokens, norm: nn.Module | None, proj: nn.Linear | None, pool: FramePool | None
) -> Tokens:
    """A residual path that changes width, with ``norm`` and ``proj``, or resolution."""
    x, grid = tokens
    if norm is not None and proj is not None:
        x = proj(norm(x))
    if pool is not None:
        x, grid = _pool_grid(x, grid, pool)
    return Tokens(x, grid)


class Leftover(nn.Module):
    """What stays of a dropped branch whose residual path is not the identity: a copy of it."""

    def __init__(
        self, norm: nn.Module, proj: nn.Linear | None, pool: FramePool | None = None
    ) -> None:
        super().__init__()
        self.norm = copy.deepcopy(norm) if proj is not None else None
        self.proj = copy.deepcopy(proj)
        self.pool = pool

    def forward(self, tokens: Tokens) -> Tokens:
        return _residual(tokens, self.norm, self.proj, self.pool)

    def absorb(self, weight: Tensor, bias: Tensor) -> bool:
        """As :meth:`VideoTransformer.absorb`: where a projection is the last thing that it does."""
        return self.proj is not None and self.pool is None and follow(self.proj, weight, bias)


class PoolingAttention(Attention):
    """Attention in which queries, keys and values are pooled first.

    All heads share what pools them and their tables of relative positions.

    Args:
        dim: width of what comes in.
        out: width of what goes out.
        grid: the grid of what comes in, for the size of the relative position tables.
        kv_stride: of the pooling of keys and values; None for no pooling.
        version: 2 adds the pooled queries to what the heads give, and relative positions to the
            scores.
    """

    def __init__(
        self,
        dim: int,
        out: int,
        *,
        num_heads: int,
        grid: Grid,
        q_stride: int,
        kv_stride: int | None,
        version: int,
        drop_path: float,
    ) -> None:
        width = out // num_heads
        super().__init__(num_heads, width, StochasticDepth(drop_path, "row"))
        self.version = version
        self.norm = LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * out)
        self.proj = nn.Linear(out, out)
        self.pool_q = HeadPool(width, q_stride) if version == 2 or q_stride > 1 else None
        self.pool_k = HeadPool(width, kv_stride) if kv_stride else None
        self.pool_v = HeadPool(width, kv_stride) if kv_stride else None
        self.proj_skip = nn.Linear(dim, out) if out != dim else None
        self.pool_skip = FramePool(kernel_size=3, stride=2, padding=1) if q_stride > 1 else None
        if version == 2:
            size = max(max(grid[1:]) // q_stride, max(grid[1:]) // (kv_stride or 1))
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * size - 1, width))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * size - 1, width))
            self.rel_pos_t = nn.Parameter(torch.zeros(2 * grid[0] - 1, width))

    def heads(self, tokens: Tokens) -> Tensor:
        qkv = self.qkv(self.norm(tokens.x)).unflatten(2, (3, self.num_heads, -1))
        q, k, v = qkv.unbind(2)  # [B, N, H, D]
        q, q_grid = _pool_heads(q, tokens.grid, self.pool_q)
        k, k_grid = _pool_heads(k, tokens.grid, self.pool_k)
        v, _ = _pool_heads(v, tokens.grid, self.pool_v)
        if self.version == 1:
            return self._attend(q, k, v)
        width = q.shape[-1]
        heads = self._attend(*self._extend(q, k, v, q_grid, k_grid), width**-0.5)[..., :width]
        return torch.cat([heads[:, :1], heads[:, 1:] + q[:, 1:]], dim=1)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, scale: float | None = None) -> Tensor:
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        return attend(q, k, v, observe=self.observer, scale=scale).transpose(1, 2)

    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        shares = torch.einsum("bn,bhnm->bhm", queries, weights)
        if self.pool_k is None:
            return shares
        _, *strides = self.pool_k.pool.stride
        pooled: Grid = (grid[0], -(-grid[1] // strides[0]), -(-grid[2] // strides[1]))
        axes = [
            nearest(n, m, stride, True)
            for n, m, stride in zip(grid, pooled, (1, *strides), strict=True)
        ]
        unpooled = spread(shares[..., 1:].unflatten(2, pooled), axes)
        return torch.cat([shares[..., :1], unpooled.flatten(2)], dim=2)

    def _extend(
        self, q: Tensor, k: Tensor, v: Tensor, q_grid: Grid, k_grid: Grid
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries and keys whose products have the relative positions in them.

        A query's bias for a key is the sum of three numbers, one for the key's frame, one for its
        row and one for its column (MViTv2, eq. 3). So each query takes along its numbers for all
        frames, rows and columns, and each key has ones where its own three are. No [N, M] bias
        has to be made. The values grow as wide as the keys, and all of them to a multiple of eight,
        only because some of the fused kernels ask for it.
        """
        patches = q[:, 1:].unflatten(1, q_grid)
        tables = (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w)
        biases = [
            torch.einsum(f"bthwnd,{axis}kd->bthwnk", patches, _relative(table, queries, keys))
            for axis, table, queries, keys in zip("thw", tables, q_grid, k_grid, strict=True)
        ]
        width = q.shape[-1]
        empty = -(width + sum(k_grid)) % 8
        q_extra = torch.cat(biases, dim=-1).flatten(1, 3) * width**0.5
        q_extra = F.pad(q_extra, (0, empty, 0, 0, 1, 0))
        k_extra = F.pad(_indicators(k_grid, k.device).to(k.dtype), (0, empty))
        return (
            torch.cat([q, q_extra], dim=-1),
            torch.cat([k, k_extra[:, None].expand(*k.shape[:3], -1)], dim=-1),
            F.pad(v, (0, sum(k_grid) + empty)),
        )

    def skip(self, tokens: Tokens) -> Tokens:
        return _residual(tokens, self.norm, self.proj_skip, self.pool_skip)

    def leftover(self) -> nn.Module | None:
        if self.proj_skip is None and self.pool_skip is None:
            return None
        return Leftover(self.norm, self.proj_skip, self.pool_skip)


def _relative(table: Tensor, queries: int, keys: int) -> Tensor:
    """A table of relative positions [2L-1, D] to the pairs of positions [queries, keys, D].

    The table is interpolated if it was made for another number of positions.
    """
    length = 2 * max(queries, keys) - 1
    if table.shape[0] != length:
        table = _interpolation(table.shape[0], length, table.device).to(table.dtype) @ table
    return table[_rows(queries, keys, table.device)]


@geometry
def _interpolation(given: int, wanted: int, device: torch.device) -> Tensor:
    """[wanted, given]: what linear interpolation multiplies by.

    As a product it has a deterministic gradient on a GPU, which ``F.interpolate`` has not.
    """
    return F.interpolate(torch.eye(given)[None], wanted, mode="linear")[0].t().to(device)


@geometry
def _rows(queries: int, keys: int, device: torch.device) -> Tensor:
    """[queries, keys]: the row of the table for each pair; the coarser ones take longer steps."""
    q = torch.arange(queries)[:, None] * max(keys / queries, 1.0)
    k = (torch.arange(keys) + (1.0 - keys)) * max(queries / keys, 1.0)
    return (q - k).long().to(device)


@geometry
def _indicators(grid: Grid, device: torch.device) -> Tensor:
    """[1 + T*H*W, T + H + W]: ones where a token's frame, row and column are."""
    positions = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    hot = [F.one_hot(axis.flatten(), size) for axis, size in zip(positions, grid, strict=True)]
    return F.pad(torch.cat(hot, dim=1).float(), (0, 0, 1, 0)).to(device)


class WideningMlp(Mlp):
    """MViTv1's MLP, that changes the width in the last layer of a stage."""

    def __init__(self, dim: int, hidden: int, out: int, *, norm: nn.Module, drop_path: float):
        super().__init__(dim, hidden, out, norm=norm, drop_path=StochasticDepth(drop_path, "row"))
        self.proj_skip = nn.Linear(dim, out) if out != dim else None

    def skip(self, tokens: Tokens) -> Tokens:
        return _residual(tokens, self.norm, self.proj_skip, None)

    def leftover(self) -> nn.Module | None:
        return None if self.proj_skip is None else Leftover(self.norm, self.proj_skip)


@architecture("mvit", title="MViT", variants=VARIANTS, formats=FORMATS, kinetics400=KINETICS400)
class MViT(VideoTransformer):
    """A pyramid of pooling attentions; a class token is read out."""

    patch = (2, 4, 4)
    centred = True

    def __init__(self, spec: ModelSpec, variant: Variant) -> None:
        super().__init__()
        self.spec = spec
        self.num_layers = sum(variant.depths)
        self.conv_proj = nn.Conv3d(3, variant.dim, (3, 7, 7), self.patch, (1, 3, 3))
        side = -(-spec.image_size // 4)
        grid: Grid = (-(-spec.num_frames // 2), side, side)
        self.pos_encoding = PositionalEncoding(
            variant.dim, grid[1:], grid[0], rel_pos_embed=variant.version == 2
        )
        self.blocks = nn.ModuleList()
        dim, stride, stages = variant.dim, 1, _stages(variant.depths)
        for i, stage in enumerate(stages):
            following = stages[min(i + 1, len(stages) - 1)]
            # version 2 widens in the first layer of a stage, version 1 in the one before
            attention_out = variant.dim * 2**stage if variant.version == 2 else dim
            out = variant.dim * 2 ** (stage if variant.version == 2 else following)
            q_stride = 2 if i > 0 and stage > stages[i - 1] else 1
            kv_stride = max(variant.kv_stride // 2**stage, 1)
            drop_path = variant.drop_path * i / (len(stages) - 1)
            branches = {
                "attention": PoolingAttention(
                    dim,
                    attention_out,
                    num_heads=2**stage,
                    grid=grid,
                    q_stride=q_stride,
                    kv_stride=kv_stride if kv_stride > 1 or variant.pool_all_keys else None,
                    version=variant.version,
                    drop_path=drop_path,
                ),
                "mlp": WideningMlp(
                    attention_out,
                    4 * attention_out,
                    out,
                    norm=LayerNorm(attention_out),
                    drop_path=drop_path,
                ),
            }
            self.blocks.append(Block(i, branches, stride=stride))
            stride *= q_stride
            grid = (grid[0], grid[1] // q_stride, grid[2] // q_stride)
            dim = out
        self.norm = LayerNorm(dim)
        self.dropout = nn.Dropout(variant.dropout)
        self.head = nn.Linear(dim, spec.num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if "rel_pos" in name or "pos_encoding" in name:
                nn.init.trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def embed(self, clips: Tensor) -> Tokens:
        x = self.conv_proj(clips)
        grid: Grid = tuple(x.shape[2:])
        return Tokens(self.pos_encoding(x.flatten(2).transpose(1, 2)), grid)

    def absorb(self, weight: Tensor, bias: Tensor) -> bool:
        if not follow(self.conv_proj, weight, bias):
            return False
        follow_offsets(self.pos_encoding.parameters(), weight)
        with torch.no_grad():
            self.pos_encoding.class_token.add_(bias)
        return True

    def read_out(self, tokens: Tokens) -> Tensor:
        return self.head(self.dropout(self.norm(tokens.x)[:, 0]))

    def initialise_for_scratch(self, gain: float = 0.2) -> None:
        # Pooled queries, of unit size, are added to what each attention gives: at 1 a small one's
        # layers drown in each other's noise, and it stays at chance for hundreds of steps.
        super().initialise_for_scratch(gain)
        self.see_change_first(self.conv_proj)
        for name, parameter in self.named_parameters():
            if "pos_encoding." in name or ".rel_pos_" in name:
                nn.init.normal_(parameter, std=0.3)

    def fit_positions(self, state: State) -> None:
        # As in PySlowFast's slowfast/utils/checkpoint.py, load_checkpoint.
        resizes = {
            r"\.spatial_pos$": positions.square("bicubic"),
            r"\.temporal_pos$": positions.line("linear"),
            r"\.rel_pos_[thw]$": positions.line("linear"),
        }
        positions.fit(self, state, resizes)

    def no_weight_decay(self) -> set[str]:
        tables = ("pos_encoding.", ".rel_pos_")
        return {name for name, _ in self.named_parameters() if any(t in name for t in tables)}


def _stages(depths: Sequence[int]) -> list[int]:
    """The stage of each layer, from 0."""
    return [stage for stage, depth in enumerate(depths) for _ in range(depth)]
