"""Tokens that are kept on their way, and those for which there is no room."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from toy_chain import CLIP, toy

from vitprune.models import build_model
from vitprune.models.bridge import Bridge, insert
from vitprune.models.dropping import drop_layers, drop_units
from vitprune.models.walking import branch_start, end, layer_end
from vitprune.recovery import fit_bridges, linear
from vitprune.recovery.walks import Room, Walks


def clips(count: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(count, *CLIP, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["mvit", "video_swin", "timesformer"])
@pytest.mark.parametrize("room", [0, 2**20], ids=["none", "enough"])
@torch.no_grad()
def test_a_model_that_is_walked_through_answers_as_ever(name: str, room: int) -> None:
    torch.manual_seed(0)
    full = build_model(name, "tiny", num_classes=3, num_frames=4, image_size=32).eval()
    batch = torch.randn(2, 3, 4, 32, 32)
    for model in (full, drop_layers(full, [0, 2, full.num_layers - 1])):
        walks, layer = Walks(model, Room(room)), model.layers[1]
        *_, branch = model.blocks[1].branches
        for point in (branch_start(model, layer, branch), layer_end(model, layer), end(model)):
            tokens = walks.to(0, None if walks.keeps(1) else batch, point)
        assert walks.keeps(1) == bool(room)
        assert torch.equal(model.read_out(tokens), model(batch))


@torch.no_grad()
def test_a_bridge_is_gone_through_by_what_stands_in_front_of_it() -> None:
    model = drop_layers(toy(), [2])
    walks = Walks(model, Room(2**20))
    tokens = walks.to(0, clips(), layer_end(model, 2))
    other = walks.of(copy.deepcopy(model))
    bridge = Bridge(2, tokens.x.shape[-1])
    nn.init.normal_(bridge.update.weight, std=0.2)
    insert(model, bridge)
    walks.through(bridge)
    for one in (walks, other):
        ends = one.to(0, None, end(one.model))
        torch.testing.assert_close(one.model.read_out(ends), one.model(clips()))
    assert not torch.allclose(model(clips()), other.model(clips()))


def test_room_is_given_back() -> None:
    model = toy()
    small = model.embed(clips()).x.numel() * 4
    walks = Walks(model, Room(2 * small))
    for number in range(3):
        walks.to(number, clips(), layer_end(model, 0))
    assert walks.room.left == 0
    assert not walks.keeps(3)
    assert walks.of(model).keeps(0)
    walks.to(0, None, layer_end(model, 1))
    assert walks.room.left == 0
    with pytest.raises(AssertionError):
        walks.to(2, None, layer_end(model, 1))


@pytest.mark.parametrize("units", [[1, 3], ["0.attention", "1.1", "3", "4.mlp.2"], ["1.0", "2.1"]])
@pytest.mark.parametrize("kind", ["auto", "scale", "none"])
def test_what_is_fitted_does_not_depend_on_room(
    units: list[int | str], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = toy()
    found = []
    for room in (0, 3 * clips().numel(), 2**29):
        monkeypatch.setattr(linear, "ROOM", room)
        batches = [clips(20, seed) for seed in range(4)]
        found.append(fit_bridges(drop_units(full, units), full, batches, kind=kind))
    for one in found[1:]:
        assert one.kind == found[0].kind
        assert one.projections == pytest.approx(found[0].projections, rel=1e-4)
        assert one.bridges == pytest.approx(found[0].bridges, rel=1e-4)
        torch.testing.assert_close(one.model(clips()), found[0].model(clips()))


@pytest.mark.parametrize("units", [[1, 3], ["0.attention", "1.1", "3", "4.mlp.2"]])
@pytest.mark.parametrize("kind", ["auto", "full", "low_rank", "scale"])
@pytest.mark.parametrize("room", [0, 2**29], ids=["none", "enough"])
def test_in_mixed_precision_it_is_nearly_the_same(
    units: list[int | str], kind: str, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linear, "ROOM", room)
    full, batches = toy(), [clips(20, seed) for seed in range(4)]
    pruned = drop_units(full, units)
    half = partial(torch.autocast, "cpu", torch.bfloat16)
    exact = fit_bridges(pruned, full, batches, kind=kind)
    found = fit_bridges(pruned, full, batches, kind=kind, autocast=half)
    assert found.divergence < 1.5 * exact.divergence + 1e-3
    assert found.divergence < found.divergence_before
