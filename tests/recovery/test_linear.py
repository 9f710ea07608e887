"""Bridges and the classifier in closed form."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from toy_chain import CLIP, Toy, toy

from vitprune.models import build_model
from vitprune.models.bridge import Bridge, bridges, insert, reach, take_apart
from vitprune.models.chain import drop_layers
from vitprune.recovery import fit_bridges
from vitprune.recovery.linear import divergence, gaps

KINDS = ["scale", "low_rank", "full"]


def batches(count: int = 6, size: int = 10, seed: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, *CLIP, generator=generator) for _ in range(count)]


class _Linear(nn.Module):
    """In the place of a branch: its effect is linear in every token."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.map = nn.Linear(dim, dim)

    def forward(self, tokens):  # type: ignore[no-untyped-def]
        return tokens._replace(x=tokens.x + self.map(tokens.x))


def with_linear_layers(model: Toy, layers: list[int]) -> Toy:
    """The same with branches of some layers replaced by maps that a bridge can be."""
    for layer in layers:
        block = model.blocks[layer]
        width = block.branches["mlp"].fc1.in_features
        for name in block.branches:
            block.branches[name] = _Linear(width)
            nn.init.normal_(block.branches[name].map.weight, std=0.2)
            block.branches[name].skip = lambda tokens: tokens
            block.branches[name].leftover = lambda: None
    return model


@pytest.mark.parametrize("layers", [[1], [0, 1], [2], [4], [1, 2], [0, 4]], ids=str)
def test_layers_whose_effect_is_linear_are_given_back(layers: list[int]) -> None:
    full = with_linear_layers(toy(), layers)
    found = fit_bridges(drop_layers(full, layers), full, batches(), kind="full", classifier=False)
    clips = batches(1, seed=2)[0]
    torch.testing.assert_close(found.model(clips), full(clips), atol=1e-4, rtol=1e-4)
    assert all(share < 1e-6 for share in found.bridges.values())
    assert found.divergence < 1e-6 < found.divergence_before


@pytest.mark.parametrize("kind", [*KINDS, "none", "auto"])
@pytest.mark.parametrize("layers", [[1], [0, 1, 3], [2, 4]], ids=str)
def test_answers_are_more_like_the_full_models(kind: str, layers: list[int]) -> None:
    full = toy()
    pruned = drop_layers(full, layers)
    before = copy.deepcopy(pruned.state_dict())
    found = fit_bridges(pruned, full, batches(20), kind=kind, rank=3)
    assert pruned.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in pruned.state_dict().items())
    assert all(0 <= share <= 1.001 for share in found.bridges.values())
    clips = batches(5, seed=3)
    told = [
        sum(divergence(full(part), model(part)) for part in clips)
        for model in (pruned, found.model)
    ]
    assert told[1] < told[0]
    assert len(bridges(found.model)) == len(found.bridges)


def test_what_auto_takes_is_the_best_of_all_on_held_out_clips() -> None:
    full, layers = toy(), [1, 3]
    pruned = drop_layers(full, layers)
    found = {kind: fit_bridges(pruned, full, batches(), kind=kind) for kind in (*KINDS, "none")}
    auto = fit_bridges(pruned, full, batches(), kind="auto")
    assert auto.divergence == min(one.divergence for one in found.values())
    assert auto.divergence == found[auto.kind].divergence


@pytest.mark.parametrize(
    ("layers", "places"), [([0], [0]), ([1, 2], [2]), ([0, 2, 4], [0, 2, 4]), ([3, 4], [4])]
)
def test_a_gap_ends_where_its_last_layer_ended(layers: list[int], places: list[int]) -> None:
    full = toy()
    assert gaps(drop_layers(full, layers), full) == places


def test_gaps_of_a_model_that_lacked_layers_before() -> None:
    full = drop_layers(toy(), [2])
    assert gaps(drop_layers(full, [1]), full) == [2]
    assert gaps(drop_layers(full, [0]), full) == [0]


@pytest.mark.parametrize("name", ["mvit", "video_swin", "timesformer"])
def test_tokens_are_reached_where_a_layer_ended(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=3, num_frames=4, image_size=32).eval()
    clips = torch.randn(2, 3, 4, 32, 32)
    for gone in ([3], [1, 2], [5, 6]):
        smaller = drop_layers(model, gone)
        ends = reach(smaller, clips, gone[-1])
        assert ends.grid == reach(model, clips, gone[-1]).grid
        assert ends.x.shape == reach(model, clips, gone[-1]).x.shape
        bridge = Bridge(gone[-1], ends.x.shape[-1])
        nn.init.zeros_(bridge.update.weight)
        nn.init.zeros_(bridge.update.bias)
        before = smaller(clips)
        insert(smaller, bridge)
        assert torch.equal(smaller(clips), before)


@pytest.mark.parametrize("kind", KINDS)
def test_bridges_and_dropping_again_are_made_anew_from_what_is_said_of_them(kind: str) -> None:
    full = toy()
    once = fit_bridges(drop_layers(full, [1]), full, batches(), kind=kind, rank=2).model
    twice = fit_bridges(drop_layers(once, [2, 4]), once, batches(), kind=kind, rank=2).model
    described = [bridge.described() for bridge in bridges(twice)]
    assert [one["place"] for one in described] == [1, 2, 4]
    again = take_apart(toy(seed=5), twice.dropped, described)
    again.load_state_dict(twice.state_dict())
    clips = batches(1, seed=7)[0]
    torch.testing.assert_close(again.eval()(clips), twice(clips))


def test_a_bridge_is_carried_along_when_the_layer_behind_it_is_dropped() -> None:
    full = toy()
    bridged = fit_bridges(drop_layers(full, [1]), full, batches(), kind="full").model
    smaller = drop_layers(bridged, [2])
    assert [bridge.place for bridge in bridges(smaller)] == [1]
    clips = batches(1)[0]
    tokens = reach(bridged, clips, 1)
    torch.testing.assert_close(reach(smaller, clips, 2).x, tokens.x)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bridge_becomes_the_map_that_it_is_given(kind: str) -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(6, 6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)
    if kind == "scale":
        weight = torch.diag(weight.diagonal())
    if kind == "low_rank":
        weight = weight[:, :2] @ weight[:2]
    bridge = Bridge(0, 6, kind, 2).double()
    bridge.become(weight, bias)
    x = torch.randn(2, 3, 6, dtype=torch.float64)
    torch.testing.assert_close(bridge.update(x), x @ weight + bias)


def test_nothing_to_recover_and_too_few_clips_are_refused() -> None:
    full = toy()
    with pytest.raises(ValueError, match="nothing was dropped"):
        fit_bridges(full, full, batches())
    with pytest.raises(ValueError, match="too few"):
        fit_bridges(drop_layers(full, [1]), full, batches(1, 4))
    with pytest.raises(ValueError, match="no kind of bridge"):
        fit_bridges(drop_layers(full, [1]), full, batches(), kind="cubic")
