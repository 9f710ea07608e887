"""Bridges in the place of dropped layers."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from toy_chain import CLIP, Toy, toy

from vitprune.models import build_model
from vitprune.models.bridge import KINDS, Bridge, bridges, fold, insert, reach, take_apart
from vitprune.models.chain import Tokens, VideoTransformer
from vitprune.models.dropping import drop_layers
from vitprune.models.unit import Unit

CLIPS = torch.randn(2, *CLIP, generator=torch.Generator().manual_seed(0))


def bridge_at(model: VideoTransformer, place: int, kind: str = "scale") -> Bridge:
    """A bridge of random weights that fits there."""
    with torch.no_grad():
        bridge = Bridge(place, reach(model, CLIPS, place).x.shape[-1], kind, 2)
        for parameter in bridge.parameters():
            nn.init.normal_(parameter, std=0.3)
    return bridge.eval()


def test_a_bridge_adds_its_update_and_keeps_the_grid() -> None:
    tokens = Tokens(torch.randn(2, 6, 4), (1, 2, 3))
    for kind in KINDS:
        bridge = Bridge(0, 4, kind, 2)
        for parameter in bridge.parameters():
            nn.init.normal_(parameter)
        found = bridge(tokens)
        assert found.grid == tokens.grid
        torch.testing.assert_close(found.x, tokens.x + bridge.update(tokens.x))


@pytest.mark.parametrize(("kind", "count"), [("scale", 12), ("low_rank", 30), ("full", 42)])
def test_a_bridge_has_as_many_parameters_as_it_needs(kind: str, count: int) -> None:
    bridge = Bridge(0, 6, kind, 2)
    assert sum(parameter.numel() for parameter in bridge.parameters()) == count
    assert Bridge(**bridge.described()).described() == bridge.described()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of bridge 'cubic'; there are scale, low_rank"):
        Bridge(0, 4, "cubic")


@pytest.mark.parametrize("place", range(5))
def test_a_bridge_stands_where_the_layer_ended(place: int) -> None:
    """In front of the merge that comes before layer 4, too."""
    full = toy()
    smaller = drop_layers(full, [place])
    bridge = bridge_at(smaller, place)
    with torch.no_grad():
        ends = reach(smaller, CLIPS, place)
        insert(smaller, bridge)
        assert bridges(smaller) == [bridge]
        torch.testing.assert_close(reach(smaller, CLIPS, place).x, bridge(ends).x)
        # What the full model has there, it has behind the layer.
        assert reach(full, CLIPS, place).x.shape == ends.x.shape


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(5)), st.lists(st.sampled_from(KINDS), min_size=4, max_size=4),
       st.lists(st.booleans(), min_size=4, max_size=4))  # fmt: skip
def test_dropping_and_bridging_in_any_order_is_made_anew(
    layers: list[int], kinds: list[str], bridged: list[bool]
) -> None:
    """Layers go one by one; behind the gap that each leaves comes a bridge, or none."""
    model: VideoTransformer = toy()
    for layer, kind, is_bridged in zip(layers[:4], kinds, bridged, strict=True):
        model = drop_layers(model, [layer])
        if is_bridged:
            place = layer
            while Unit(place + 1) in model.dropped:
                place += 1
            insert(model, bridge_at(model, place, kind))
    described = [bridge.described() for bridge in bridges(model)]
    again = take_apart(Toy(), model.dropped, described)
    again.load_state_dict(model.state_dict())
    assert [bridge.described() for bridge in bridges(again)] == described
    with torch.no_grad():
        torch.testing.assert_close(again.eval()(CLIPS), model(CLIPS))


def small(name: str, variant: str, **sizes: int) -> VideoTransformer:
    """A model whose norms, positions and biases are none of what they begin as."""
    torch.manual_seed(0)
    sizes = {"num_classes": 3, "num_frames": 4, "image_size": 32} | sizes
    model = build_model(name, variant, **sizes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(
    ("name", "variant", "gone", "kind", "exact"),
    [
        ("mvit", "tiny", [0], "full", True),
        ("mvit", "tiny", [0, 1], "full", False),  # what stays of layer 1 pools last
        ("mvit", "tiny", [3], "scale", False),
        ("mvit", "v1_b", [0], "full", True),  # the layer widens, and its projection stays
        ("mvit", "v1_b", [0, 1], "scale", False),
        ("timesformer", "tiny", [0, 1], "low_rank", True),
        ("timesformer", "tiny", [3], "full", False),  # a residual path goes past layer 2
        ("timesformer", "tiny", [11], "scale", False),
        ("video_swin", "tiny", [0, 1], "scale", True),  # the norm behind the patches has factors
        ("video_swin", "tiny", [0, 1], "full", False),
        ("video_swin", "tiny", [0, 1, 2], "scale", False),  # the merge has no bias
        ("videomae", "tiny", [0], "full", False),  # its positions are fixed
    ],
)
def test_a_bridge_is_folded_where_that_is_exact(
    name: str, variant: str, gone: list[int], kind: str, exact: bool
) -> None:
    model = drop_layers(small(name, variant), gone)
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        bridge = Bridge(gone[-1], reach(model, clips, gone[-1]).x.shape[-1], kind, 2).eval()
        for parameter in bridge.parameters():
            nn.init.normal_(parameter, std=0.2)
        with_bridge, before = copy.deepcopy(model), model(clips)
        insert(with_bridge, copy.deepcopy(bridge))
        shapes = {key: value.shape for key, value in model.state_dict().items()}
        assert fold(model, bridge) is exact
        assert {key: value.shape for key, value in model.state_dict().items()} == shapes
        expected = with_bridge(clips) if exact else before
        torch.testing.assert_close(model(clips), expected, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(with_bridge(clips), before, atol=1e-2)


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_bridges_behind_each_other_become_one_where_that_adds_nothing(
    first: str, second: str
) -> None:
    model = drop_layers(toy(), [1])
    insert(model, bridge_at(model, 1, first))
    model = drop_layers(model, [2])
    other, both = bridge_at(model, 2, second), copy.deepcopy(model)
    insert(both, copy.deepcopy(other))
    folded = fold(model, other)
    assert folded is (first == "full" or first == second == "scale")
    if folded:
        assert [(one.place, one.kind) for one in bridges(model)] == [(2, first)]
        torch.testing.assert_close(model(CLIPS), both(CLIPS), atol=1e-4, rtol=1e-4)
        again = take_apart(toy(), model.dropped, [one.described() for one in bridges(model)])
        again.load_state_dict(model.state_dict())
        torch.testing.assert_close(again.eval()(CLIPS), model(CLIPS))
