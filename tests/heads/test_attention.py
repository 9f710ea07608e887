"""Maps of heads: from a known place of attention to the pixels that light up."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vitprune.errors import InputError
from vitprune.heads.attention import attention_maps, check_heads, rollout
from vitprune.importance import Unit, units_of
from vitprune.models import Tokens, VideoTransformer, build_model

NAMES = ["timesformer", "video_swin", "mvit", "videomae", "vivit", "vjepa2", "videoprism"]


class Seeker(nn.Module):
    """In place of a ``qkv``: every query seeks the token whose first feature is one."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.out_features = 3 * out
        pattern = torch.ones(out)
        pattern[1::2] = -1
        self.register_buffer("pattern", pattern)

    def forward(self, x: Tensor) -> Tensor:
        q = 20 * self.pattern.expand(*x.shape[:-1], -1)
        return torch.cat([q, x[..., :1] * self.pattern, torch.zeros_like(q)], dim=-1)


Size = tuple[int, int, int]


def seeking(model: VideoTransformer, layer: int, name: str, size: Size) -> tuple[Tensor, Size]:
    """Makes all heads of one attention seek a token in the middle; a clip and the token's place."""
    clip = torch.zeros(1, 3, *size)
    blank = model.embed(clip)
    x = torch.zeros_like(blank.x)
    t, h, w = (n // 2 for n in blank.grid)
    # the middle of what a pooled key sees, whatever its stride
    h, w = h - h % 4, w - w % 4
    x[:, x.shape[1] - math.prod(blank.grid) + (t * blank.grid[1] + h) * blank.grid[2] + w, 0] = 1.0
    model.embed = lambda clips: Tokens(x, blank.grid)  # type: ignore[method-assign]
    for block in model.blocks[: layer + 1]:
        for branch in block.branches.values():
            branch.gate = torch.zeros(())
    attention = model.blocks[layer].branches[name]
    attention.norm = nn.Identity()
    attention.qkv = Seeker(attention.qkv.out_features // 3)
    for key, parameter in attention.named_parameters():
        if "rel_pos" in key or "position_bias" in key:
            nn.init.zeros_(parameter)
        elif key.endswith("pool.weight"):
            nn.init.zeros_(parameter)
            parameter.data[:, :, 1, 1, 1] = 1
    return clip, (t, h, w)


@pytest.mark.parametrize(
    ("model", "layer", "name", "size"),
    [
        ("timesformer", 0, "time", (8, 64, 64)),
        ("timesformer", 1, "space", (8, 64, 96)),
        ("video_swin", 0, "attention", (8, 64, 64)),
        ("video_swin", 1, "attention", (8, 64, 64)),  # shifted
        ("video_swin", 1, "attention", (7, 60, 50)),  # shifted and padded
        ("mvit", 0, "attention", (8, 64, 64)),  # keys pooled by 4
        ("mvit", 1, "attention", (6, 72, 56)),  # queries pooled, too
    ],
)
@torch.no_grad()
def test_the_known_patch_lights_up(model: str, layer: int, name: str, size: Size) -> None:
    torch.manual_seed(0)
    built = build_model(model, "tiny", num_classes=3, num_frames=8, image_size=64).eval()
    clip, (t, h, w) = seeking(built, layer, name, size)
    attention = built.blocks[layer].branches[name]
    unit = Unit(layer, "time" if name == "time" else "", attention.num_heads - 1)
    density = attention_maps(built, clip, [unit])[unit].pixels()[0]
    assert density.shape == size
    bright = (density > 0.999 * density.max()).nonzero()
    (t0, y0, x0), (t1, y1, x1) = bright.min(0).values.tolist(), (bright.max(0).values + 1).tolist()
    patch_t, patch_h, patch_w = built.patch
    if model == "mvit":  # tokens lie around their pixels, and keys 4 or 2 tokens apart;
        reach = (5, 1)[layer]  # what is as near to the next one is only half as bright
        assert (t0, t1) == (t * patch_t, t * patch_t + 1)
        assert (y0, y1) == (h * patch_h - reach, h * patch_h + reach + 1)
        assert (x0, x1) == (w * patch_w - reach, w * patch_w + reach + 1)
    else:
        assert (t0, t1) == (t * patch_t, min((t + 1) * patch_t, size[0]))
        assert (y0, y1) == (h * patch_h, min((h + 1) * patch_h, size[1]))
        assert (x0, x1) == (w * patch_w, min((w + 1) * patch_w, size[2]))
    assert len(bright) == (t1 - t0) * (y1 - y0) * (x1 - x0)


@pytest.mark.parametrize("name", NAMES)
def test_every_head_has_a_map(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=3, num_frames=4, image_size=32)
    clips = torch.randn(2, 3, 4, 32, 32)
    units = units_of(model, "head")
    expected = model.eval()(clips)
    model.train()
    maps = attention_maps(model, clips, units)
    assert list(maps) == units
    for found in maps.values():
        assert found.tokens.min() >= 0
        assert bool((found.tokens.sum((1, 2, 3)) <= 1 + 1e-5).all())
        pixels = found.pixels()
        assert pixels.shape == (2, 4, 32, 32)
        torch.testing.assert_close(pixels.mean((1, 2, 3)), torch.ones(2))
    assert model.training
    torch.testing.assert_close(model.eval()(clips), expected)  # nothing is left behind


@pytest.mark.parametrize("name", NAMES)
def test_one_head_alone_is_the_same(name: str) -> None:
    model = build_model(name, "tiny", num_classes=3, num_frames=4, image_size=32).eval()
    clips = torch.randn(2, 3, 4, 32, 32)
    units = units_of(model, "head")
    together = attention_maps(model, clips, units)
    alone = attention_maps(model, clips[1:], [units[-2]])[units[-2]]
    torch.testing.assert_close(alone.tokens[0], together[units[-2]].tokens[1], atol=1e-6, rtol=1e-4)


def test_the_class_tokens_row() -> None:
    clips = torch.randn(1, 3, 4, 32, 32)
    swin = build_model("video_swin", "tiny", num_classes=3, num_frames=4, image_size=32)
    with pytest.raises(InputError, match="no class token"):
        attention_maps(swin, clips, [Unit(0, number=0)], "cls")
    model = build_model("timesformer", "tiny", num_classes=3, num_frames=4, image_size=32)
    with pytest.raises(InputError, match=r"no part in the attention of head 3\.time\.1; use"):
        attention_maps(model, clips, [Unit(3, "time", 1)], "cls")
    unit = Unit(3, number=1)
    own, mean = (attention_maps(model, clips, [unit], query)[unit] for query in ("cls", "mean"))
    assert not torch.allclose(own.tokens, mean.tokens)
    # each copy of the class token looks about its own frame
    assert bool((own.tokens.sum((2, 3)) <= 0.25 + 1e-6).all())


@pytest.mark.parametrize("name", NAMES)
def test_rollout_is_a_share_of_every_token(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=3, num_frames=4, image_size=48)
    clips = torch.randn(2, 3, 4, 48, 48)
    found = rollout(model, clips)
    assert found.tokens.shape[1:] == model.embed(clips).grid
    torch.testing.assert_close(found.tokens.sum((1, 2, 3)), torch.ones(2))
    assert found.tokens.min() > 0
    assert found.pixels().shape == (2, 4, 48, 48)


def test_rollout_is_that_of_the_matrices() -> None:
    """Against the definition, in a model of one window where A is a plain matrix."""
    torch.manual_seed(0)
    model = build_model("video_swin", "tiny", num_classes=3, num_frames=4, image_size=16).eval()
    model.blocks = model.blocks[:2]
    model.read_out = lambda tokens: tokens.x.mean(1)  # type: ignore[method-assign]
    clips = torch.randn(1, 3, 4, 16, 16)
    matrices: list[Tensor] = []
    for block in model.blocks:
        block.branches["attention"].observer = lambda w: matrices.append(w[0, 0].mean(0))
    model(clips)
    n = len(matrices[0])
    rolled = torch.eye(n)
    for matrix in matrices:
        rolled = (matrix + torch.eye(n)) / 2 @ rolled
    expected = rolled.mean(0)
    found = rollout(model, clips).tokens.flatten()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("2.7", r"head=2\.7 does not exist in video_swin; layer 2 has 2\.0, 2\.1$"),
        ("24.0", "it has layers 0, 1, 2"),
        ("2.time.0", r"layer 2 has 2\.0, 2\.1$"),
        ("22", r"head=22 is no head; write layer\.head, as in 23\.7"),
        ("first", "is no head"),
    ],
)
def test_heads_that_are_not_there(name: str, line: str) -> None:
    model = build_model("video_swin", "tiny", num_classes=3)
    assert check_heads(model, ["22.4", "0.0"]) == [Unit(22, number=4), Unit(0, number=0)]
    with pytest.raises(InputError, match=line):
        check_heads(model, ["22.4", name])


@pytest.fixture(scope="module")
def wide() -> VideoTransformer:
    """Twelve layers with 3 to 24 heads, and no memory for weights."""
    with torch.device("meta"):
        return build_model("video_swin", "t", num_classes=3)


@pytest.mark.parametrize(
    ("given", "head"),
    [
        (0.1, "0.1"),  # layer 0 has no head 10
        (5.0, "5.0"),
        (5.11, "5.11"),
        (11.3, "11.3"),
        ("11.2", "11.2"),
        ("11.20", "11.20"),
        ("11h2", "11.2"),
        ("11h20", "11.20"),
        ("11.attention.h20", "11.20"),
    ],
)
def test_a_number_is_the_head_that_it_can_only_be(
    wide: VideoTransformer, given: str | float, head: str
) -> None:
    assert check_heads(wide, [given, "0.0"]) == [Unit.parse(head), Unit(0, number=0)]


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (11.2, "head=11.2 may be head 11.2 or 11.20, .* configuration; write 11h2 or 11h20$"),
        (5.1, "head=5.1 may be head 5.1 or 5.10, .*; write 5h1 or 5h10$"),
        (0.5, r"head=0\.5 does not exist in video_swin; layer 0 has 0\.0, 0\.1, 0\.2$"),
        (12.5, "it has layers 0, 1, 2"),
        (1e20, "is no head"),
    ],
)
def test_a_number_that_is_two_heads_or_none(
    wide: VideoTransformer, number: float, line: str
) -> None:
    with pytest.raises(InputError, match=line) as caught:
        check_heads(wide, [number])
    assert "\n" not in str(caught.value)


def test_a_number_is_a_head_of_the_last_attention() -> None:
    model = build_model("timesformer", "tiny", num_classes=3)
    assert check_heads(model, [3.2, "3.space.1", "3.time.h2"]) == [
        Unit(3, number=2), Unit(3, number=1), Unit(3, "time", 2),
    ]  # fmt: skip
