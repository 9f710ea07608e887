"""Lift and the pointing game, against counting pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vitprune.heads.attention import AttentionMap
from vitprune.heads.boxes import Targets, box_looks, by_kind, mask, partners
from vitprune.importance import units_of
from vitprune.models import build_model
from vitprune.models.grids import nearest

SIZE = 32


def maps(tokens: torch.Tensor, pitch: int, centred: bool = False) -> AttentionMap:
    frames, height, width = tokens.shape[1:]
    return AttentionMap(
        tokens,
        (
            nearest(4, frames, 4 // frames, centred),
            nearest(SIZE, height, pitch, centred),
            nearest(SIZE, width, pitch, centred),
        ),
    )


def test_masks_cover_parts_of_pixels() -> None:
    inside = mask([[(1.0, 2.0, 3.5, 4.0)], [], [(0, 0, 1, 1), (0, 0, 1, 2), (3, 3, 4, 4)]], 4, 5)
    assert inside.shape == (3, 4, 5)
    np.testing.assert_allclose(inside[0, 2], [0, 1, 1, 0.5, 0])
    assert inside[0].sum() == pytest.approx(5.0)
    assert inside[1].sum() == 0
    assert inside[2].sum() == 3  # boxes that overlap count once


def test_kinds() -> None:
    a, b, c = (0, 0, 1, 1), (1, 1, 2, 2), (2, 2, 3, 3)
    kinds = by_kind([{"head": a, "hand_left": b, "hand_right": c}, {"hand_left": a}])
    assert kinds == {"head": [[a], []], "hand": [[b, c], [a]]}


@pytest.mark.parametrize(("pitch", "centred"), [(8, False), (8, True), (4, False)])
def test_lift_is_that_of_the_pixels(pitch: int, centred: bool) -> None:
    torch.manual_seed(0)
    cells = SIZE // pitch
    tokens = torch.rand(2, 2, cells, cells)
    boxes = [[[(3.5, 4.0, 17.0, 20.0)], [], [(0, 0, 9, 30)], [(20, 20, 32, 32)]]] * 2
    inside = torch.stack([mask(clip, SIZE, SIZE) for clip in boxes])
    looks = Targets(inside).looks(maps(tokens, pitch, centred))
    density = maps(tokens, pitch, centred).pixels()
    for clip in range(2):
        attended = expected = 0.0
        for frame in (0, 2, 3):
            share = inside[clip, frame].mean()
            attended += float((density[clip, frame] * inside[clip, frame]).sum())
            expected += float(density[clip, frame].sum() * share)
        assert looks.lift[clip] == pytest.approx(attended / expected, rel=1e-4)


def test_even_attention_has_a_lift_of_one_and_hits_by_chance() -> None:
    inside = mask([[(0, 0, 16, 8)], [(8, 8, 16, 16)], [], []], SIZE, SIZE)[None]
    for centred in (False, True):
        looks = Targets(inside).looks(maps(torch.ones(1, 4, 4, 4), 8, centred))
        assert looks.lift[0] == pytest.approx(1.0)
    looks = Targets(inside).looks(maps(torch.ones(1, 4, 4, 4), 8))
    assert looks.hit[0] == pytest.approx(np.mean([2 / 16, 1 / 16]))
    assert Targets(inside).mean_share()[0] == pytest.approx(np.mean([1 / 8, 1 / 16]))


def test_looking_at_the_box_and_away_from_it() -> None:
    tokens = torch.zeros(3, 4, 4, 4)
    tokens[0, :, 1, 2] = 1.0  # at it
    tokens[1, :, 2, 1] = 1.0  # at its mirror image
    tokens[2, :2, 1, 2] = tokens[2, 2:, 2, 1] = 1.0  # at it half of the time
    inside = mask([[(16, 8, 24, 16)]] * 4, SIZE, SIZE).expand(3, -1, -1, -1)
    looks = Targets(inside).looks(maps(tokens, 8))
    np.testing.assert_allclose(looks.lift, [16, 0, 8])
    np.testing.assert_allclose(looks.hit, [1, 0, 0.5])


def test_a_clip_without_the_object_has_no_figure() -> None:
    looks = Targets(torch.zeros(1, 4, SIZE, SIZE)).looks(maps(torch.rand(1, 4, 4, 4), 8))
    assert looks.lift.isnan().all()
    assert looks.hit.isnan().all()


def test_every_head_over_batches() -> None:
    model = build_model("mvit", "tiny", num_classes=3, num_frames=4, image_size=SIZE)
    units = units_of(model, "head")
    clips = torch.randn(3, 3, 4, SIZE, SIZE)
    own = torch.rand(3, 4, SIZE, SIZE)
    other = own[[1, 2, 0]]

    def batches(size: int):  # type: ignore[no-untyped-def]
        for start in range(0, 3, size):
            part = slice(start, start + size)
            yield clips[part], ["a", "b", "c"][part], {"head": (own[part], other[part])}

    once, twice = (box_looks(model, batches(size), units)["head"] for size in (3, 2))
    for name in ("lift", "hit", "elsewhere", "share"):
        np.testing.assert_allclose(getattr(once, name), getattr(twice, name), rtol=1e-4)
    assert once.lift.shape == once.hit.shape == once.elsewhere.shape == (3, len(units))
    assert once.share.shape == (3, 1)
    swapped = box_looks(model, [(clips, ["a", "b", "c"], {"head": (other, own)})], units)["head"]
    np.testing.assert_allclose(swapped.lift, once.elsewhere, rtol=1e-4)


@pytest.mark.parametrize("clips", [2, 3, 50])
def test_partners_are_others(clips: int) -> None:
    other = partners(clips)
    assert sorted(other) == list(range(clips))
    assert (other != np.arange(clips)).all()
