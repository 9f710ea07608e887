"""Bridges and the classifier in closed form."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from toy_chain import CLIP, Toy, toy

from vitprune.models import build_model
from vitprune.models.bridge import Bridge, bridges, insert, reach, take_apart
from vitprune.models.dropping import drop_layers
from vitprune.recovery import fit_bridges
from vitprune.recovery.linear import divergence
from vitprune.recovery.sites import Gap, gaps

KINDS = ["scale", "low_rank", "full"]


def batches(count: int = 2, size: int = 30, seed: int = 1) -> list[Tensor]:
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


@pytest.mark.parametrize("layers", [[0, 1], [4], [0, 2]], ids=str)
def test_layers_whose_effect_is_linear_are_given_back(layers: list[int]) -> None:
    full = with_linear_layers(toy(), layers)
    found = fit_bridges(drop_layers(full, layers), full, batches(), kind="full", classifier=False)
    clips = batches(1, seed=2)[0]
    torch.testing.assert_close(found.model(clips), full(clips), atol=1e-4, rtol=1e-4)
    assert all(share < 1e-6 for share in found.bridges.values())
    assert found.divergence < 1e-6 < found.divergence_before


@pytest.mark.parametrize("kind", [*KINDS, "none", "auto"])
@pytest.mark.parametrize("layers", [[1], [0, 1, 3]], ids=str)
def test_answers_are_more_like_the_full_models(kind: str, layers: list[int]) -> None:
    full = toy()
    pruned = drop_layers(full, layers)
    weights = copy.deepcopy(pruned.state_dict())
    found = fit_bridges(pruned, full, batches(4, 50), kind=kind, rank=3)
    assert pruned.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in pruned.state_dict().items())
    assert all(0 <= share <= 1.001 for share in found.bridges.values())
    (clips,) = batches(1, 100, seed=3)
    with torch.no_grad():
        wanted = full(clips)
        before, now = (divergence(wanted, model(clips)) for model in (pruned, found.model))
    assert now < before
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
    assert [gap.place for gap in gaps(drop_layers(full, layers), full)] == places


def test_gaps_of_a_model_that_lacked_layers_before() -> None:
    full = drop_layers(toy(), [2])
    assert gaps(drop_layers(full, [1]), full) == [Gap(2)]
    assert gaps(drop_layers(full, [0]), full) == [Gap(0)]


@pytest.mark.parametrize("name", ["mvit", "video_swin", "timesformer"])
def test_tokens_are_reached_where_a_layer_ended(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=3, num_frames=4, image_size=32).eval()
    clips = torch.randn(2, 3, 4, 32, 32)
    for gone in ([3], [1, 2]):
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
    # A low rank alone cannot take up what follows it without further parameters.
    assert [one["place"] for one in described] == ([1, 2, 4] if kind == "low_rank" else [2, 4])
    assert all(one["kind"] == kind for one in described)
    again = take_apart(toy(seed=5), twice.dropped, described)
    again.load_state_dict(twice.state_dict())
    clips = batches(1, seed=7)[0]
    torch.testing.assert_close(again.eval()(clips), twice(clips))


def test_a_bridge_that_can_be_folded_adds_no_parameters() -> None:
    torch.manual_seed(0)
    full = build_model("timesformer", "tiny", num_classes=3, num_frames=4, image_size=32).eval()
    full.initialise_for_scratch()
    pruned = drop_layers(full, [0, 1, 5])
    clips = [torch.randn(10, 3, 4, 32, 32)]
    found = fit_bridges(pruned, full, clips, kind="full", classifier=False)
    assert (found.folded, [one.place for one in bridges(found.model)]) == ((1,), [5])
    assert found.bridges[1] < 1
    alone = fit_bridges(drop_layers(full, [0, 1]), full, clips, kind="full", classifier=False)
    assert count(alone.model) == count(drop_layers(full, [0, 1]))
    assert alone.divergence < alone.divergence_before


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


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


@pytest.mark.parametrize("classifier", [True, False])
def test_the_classifier_is_fitted_where_it_shall_be(classifier: bool) -> None:
    full = toy()
    pruned = drop_layers(full, [2])
    found = fit_bridges(pruned, full, batches(), kind="none", classifier=classifier)
    assert found.bridges == {}
    assert found.clips == 60
    same = torch.equal(found.model.head.weight, pruned.head.weight)
    assert same is not classifier
    if classifier:
        assert found.divergence < found.divergence_before
    else:
        assert found.divergence == pytest.approx(found.divergence_before, abs=1e-6)
    one, other = found.model.state_dict(), pruned.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one if not name.startswith("head"))


def test_what_is_fitted_in_inference_mode_can_be_trained() -> None:
    full = toy()
    with torch.inference_mode():
        found = fit_bridges(drop_layers(full, [1]), full, batches(), kind="full").model
    assert not any(parameter.is_inference() for parameter in found.parameters())
    found.train()(batches(1, 2)[0]).sum().backward()
    assert all(one.update.weight.grad is not None for one in bridges(found))


def fit_share(rank: int, rendezvous: str, out: str) -> None:
    """One of two processes: fits to its own clips and the other's."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2
    )
    full = toy()
    found = fit_bridges(drop_layers(full, [1, 3]), full, batches(1, 40, seed=rank), kind="scale")
    told = (found.divergence, found.divergence_before, found.bridges, found.clips)
    torch.save((found.model.state_dict(), told), f"{out}/{rank}.pt")
    distributed.destroy_process_group()


def fit_both(_: int, *arguments: str) -> None:
    """Forks the two, which a process can in which autograd has not run yet."""
    multiprocessing.start_processes(fit_share, arguments, nprocs=2, start_method="fork")


def test_two_processes_fit_the_same_model_to_all_clips(tmp_path: Path) -> None:
    arguments = (f"{tmp_path}/rendezvous", str(tmp_path))
    multiprocessing.start_processes(fit_both, arguments, nprocs=1, start_method="spawn")
    (one, told), (other, also) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert told == also
    assert told[-1] == 80
    full = toy()
    clips = [*batches(1, 40, seed=0), *batches(1, 40, seed=1)]  # 40 is a multiple of five
    alone = fit_bridges(drop_layers(full, [1, 3]), full, clips, kind="scale")
    assert told[2] == pytest.approx(alone.bridges)
    assert told[0] == pytest.approx(alone.divergence, rel=1e-2)
