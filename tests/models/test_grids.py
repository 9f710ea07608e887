"""Attention is put back where it looked: windows, shifts, padding, pooled keys, class tokens."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from vitprune.models import Tokens, build_model
from vitprune.models.chain import Attention, Grid
from vitprune.models.grids import nearest, spread
from vitprune.models.mvit import PoolingAttention
from vitprune.models.timesformer import SpaceAttention, TimeAttention
from vitprune.models.video_swin import WindowAttention


@pytest.fixture(autouse=True)
def no_grad() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def looking_at(attention: Attention, dim: int) -> tuple[Tensor, Tensor]:
    """Makes every head look at tokens of one kind; that kind and the other one, [dim] each."""
    plain, marked = torch.zeros(dim), torch.zeros(dim)
    plain[::2], plain[1::2] = 1, -1
    marked[: dim // 2], marked[dim // 2 :] = 1, -1
    out = attention.qkv.out_features // 3
    pattern = torch.ones(out)
    pattern[1::2] = -1
    attention.qkv.weight.zero_()
    attention.qkv.weight[out : 2 * out] = pattern[:, None] * marked / dim  # keys: 0 if plain
    attention.qkv.bias.zero_()
    score = 30 / (out / attention.num_heads) ** 0.5  # well below what keeps windows' parts apart
    attention.qkv.bias[:out] = score * pattern  # queries: all the same
    for name, parameter in attention.named_parameters():
        if "rel_pos" in name or "position_bias" in name:
            parameter.zero_()
        elif name.startswith(("pool_q.norm_act.0.w", "pool_k.norm_act.0.w")):
            parameter.fill_(10)
        elif name.endswith("pool.weight"):
            parameter.zero_()
            parameter[:, :, 1, 1, 1] = 1  # the kernel's centre alone
    return marked, plain


def received(
    attention: Attention,
    grid: Grid,
    place: Grid | None,
    *,
    dim: int,
    class_token: bool,
    query: str = "mean",
) -> Tensor:
    """The map of a clip with one marked token at ``place``: [1, H, cls + N]."""
    marked, plain = looking_at(attention, dim)
    x = plain.repeat(1, math.prod(grid) + class_token, 1)
    if place is not None:
        x[0, class_token + int(torch.tensor(place) @ strides(grid))] = marked
    seen: list[Tensor] = []
    attention.observer = seen.append
    after = attention(Tokens(x, grid))
    queries = torch.zeros(1, after.x.shape[1])
    if query == "cls":
        queries[:, 0] = 1
    else:
        queries[:, class_token:] = 1 / (after.x.shape[1] - class_token)
    return attention.received(seen[0], queries, grid)


def strides(grid: Grid) -> Tensor:
    return torch.tensor((grid[1] * grid[2], grid[2], 1))


def cell(n: int, w: int, shift: int, i: int) -> range:
    """The places along an axis that share a window with place i: between the windows' borders."""
    if n <= w:
        return range(n)
    borders = sorted({0, *range(shift, n, w), n})
    return next(range(a, b) for a, b in pairwise(borders) if a <= i < b)


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 2, 2)])
@pytest.mark.parametrize("grid", [(4, 8, 8), (2, 4, 4), (5, 7, 9), (3, 5, 3), (1, 6, 10)])
def test_windows_are_put_back(grid: Grid, shift: Grid) -> None:
    window = (2, 4, 4)
    attention = WindowAttention(16, 2, window, shift, 0.0).eval()
    padded = any(n > w and n % w for n, w in zip(grid, window, strict=True))
    for place in [(0, 0, 0), tuple(n - 1 for n in grid), tuple(n // 2 for n in grid)]:
        result = received(attention, grid, place, dim=16, class_token=False)  # type: ignore[arg-type]
        maps = result.unflatten(2, grid)[0]
        cells = [
            cell(*axis) for axis in zip(grid, window, shift, place, strict=True)
        ]  # who shares the marked token's window
        inside = torch.zeros(grid, dtype=torch.bool)
        inside[tuple(slice(c.start, c.stop) for c in cells)] = True
        expected = int(inside.sum()) / math.prod(grid)
        others = inside.clone()
        others[place] = False
        for head in maps:
            torch.testing.assert_close(head[place], torch.tensor(expected))
            assert not others.any() or head[others].max() < 1e-6
            assert bool((head[~inside] > 0).all())  # who does not see it looks about
            total = head.sum().item()
            assert total == pytest.approx(1) if not padded else total <= 1 + 1e-6


@pytest.mark.parametrize("grid", [(2, 4, 4), (3, 5, 4)])
def test_space_and_time_are_put_back(grid: Grid) -> None:
    place = (1, 3, 2)
    frames, places = grid[0], grid[1] * grid[2]
    space = SpaceAttention(16, 2, 0.0).eval()
    for query in ("mean", "cls"):
        result = received(space, grid, place, dim=16, class_token=True, query=query)
        torch.testing.assert_close(result.sum(2), torch.ones(1, 2))
        for head in result[0, :, 1:].unflatten(1, grid):
            # within its frame all look there, elsewhere they look about evenly
            torch.testing.assert_close(head[place], torch.tensor(1 / frames))
            assert head[1].sum() - head[place] < 1e-6
            torch.testing.assert_close(
                head[0], torch.full(grid[1:], 1 / frames / (places + 1)), rtol=1e-4, atol=1e-6
            )
    time = TimeAttention(16, 2, 0.0).eval()
    result = received(time, grid, place, dim=16, class_token=True)
    torch.testing.assert_close(result.sum(2), torch.ones(1, 2))
    for head in result[0, :, 1:].unflatten(1, grid):
        torch.testing.assert_close(head[place], torch.tensor(1 / places))
        assert head[:, 3, 2].sum() - head[place] < 1e-6
        torch.testing.assert_close(
            head[:, 0, 0], torch.full((frames,), 1 / places / frames), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("q_stride", [1, 2])
@pytest.mark.parametrize("kv_stride", [1, 2, 4])
@pytest.mark.parametrize("grid", [(2, 8, 8), (3, 7, 10)])
def test_pooled_keys_are_put_back(grid: Grid, kv_stride: int, q_stride: int, version: int) -> None:
    attention = PoolingAttention(
        16, 16, num_heads=1, grid=grid, q_stride=q_stride, kv_stride=kv_stride,
        version=version, drop_path=0.0,
    ).eval()  # fmt: skip
    for key in [(0, 0, 0), (1, 1, 0), (1, (grid[1] - 1) // kv_stride, (grid[2] - 1) // kv_stride)]:
        place = (key[0], key[1] * kv_stride, key[2] * kv_stride)  # the middle of what it pools
        for query in ("mean", "cls"):
            result = received(attention, grid, place, dim=16, class_token=True, query=query)
            torch.testing.assert_close(result.sum(2), torch.ones(1, 1))
            head = result[0, 0, 1:].unflatten(0, grid)
            assert head[place] == head.max()
            assert head.sum() > 0.999
            lit = (head > 1e-6).nonzero()
            assert lit[:, 0].unique().tolist() == [key[0]]
            for axis in (1, 2):
                places = lit[:, axis].unique()
                far = (places - place[axis]).abs()
                last = grid[axis] - 1
                assert bool(((far <= kv_stride / 2) | (places > place[axis])).all())
                reach = min(last, place[axis] + kv_stride // 2)
                if key[axis] == (grid[axis] - 1) // kv_stride:
                    reach = last  # no other key is nearer
                assert places.tolist() == list(range(max(0, place[axis] - kv_stride // 2),
                                                     reach + 1))  # fmt: skip


def test_an_even_map_stays_even_and_mass_stays() -> None:
    axes = [nearest(8, 4, 2, True), nearest(30, 8, 4, True), nearest(30, 8, 4, False)]
    even = spread(torch.full((2, 4, 8, 8), 0.5), axes)
    torch.testing.assert_close(even, torch.full_like(even, even[0, 0, 0, 0].item()))
    maps = torch.rand(2, 4, 8, 8)
    torch.testing.assert_close(spread(maps, axes).sum((1, 2, 3)), maps.sum((1, 2, 3)))


def test_cells_and_centres() -> None:
    cells = nearest(7, 2, 4, False)
    assert cells[:, 0].tolist() == [1, 1, 1, 1, 0, 0, 0]
    centres = nearest(7, 2, 4, True)
    assert centres[:, 0].tolist() == [1, 1, 0.5, 0, 0, 0, 0]


@pytest.mark.parametrize("name", ["timesformer", "video_swin", "mvit"])
@pytest.mark.parametrize("size", [(8, 64, 64), (6, 96, 80), (7, 60, 50)])
def test_pixels_belong_to_the_tokens_that_see_them(name: str, size: Grid) -> None:
    if name == "timesformer" and size[1] % 16:
        pytest.skip("takes whole patches")
    model = build_model(name, "tiny", num_classes=3).eval()
    block = model.blocks[0]
    clip = torch.zeros(1, 3, *size)
    blank = model.embed(clip)
    axes = model.pixel_axes(block, blank.grid, size)
    for pixel in [(0, 0, 0), (size[0] - 1, size[1] - 1, size[2] - 1), (3, 33, 18), (4, 16, 40)]:
        clip[:, :, *pixel] = 5.0
        changed = (model.embed(clip).x != blank.x)[0].any(-1)
        clip[:, :, *pixel] = 0.0
        reached = changed[-math.prod(blank.grid) :].unflatten(0, blank.grid).nonzero()
        for axis in range(3):
            owners = axes[axis][pixel[axis]].nonzero()[:, 0]
            seen = reached[:, axis].unique().float()
            # in the middle of the tokens that the pixel reaches, but for the border's
            assert set(owners.tolist()) <= set(seen.int().tolist())
            if 0 < pixel[axis] < size[axis] - 1:
                assert abs(owners.float().mean() - seen.mean()) <= 0.5


@pytest.mark.parametrize("name", ["video_swin", "mvit"])
def test_deeper_layers_know_their_stride(name: str) -> None:
    model = build_model(name, "tiny", num_classes=3).eval()
    tokens = model.embed(torch.zeros(1, 3, 8, 64, 64))
    first = tokens.grid[1]
    for block in model.blocks:
        into = block.before(tokens)
        assert into.grid[1] * block.stride == first
        tokens = block(tokens)
