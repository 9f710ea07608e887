"""Units of every scope are mended: bridges for branches, projections for heads and neurons."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from toy_chain import CLIP, toy

from vitprune.models import build_model
from vitprune.models.branches import PartedBranch
from vitprune.models.bridge import bridges, take_apart
from vitprune.models.chain import VideoTransformer
from vitprune.models.dropping import drop_units
from vitprune.models.places import blocks_of, units_of
from vitprune.recovery import fit_bridges
from vitprune.recovery.linear import with_room
from vitprune.recovery.sites import Gap, Projection, sites


def batches(count: int = 2, size: int = 30) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, *CLIP, generator=generator) for _ in range(count)]


@pytest.mark.parametrize(
    ("units", "places"),
    [
        ("1.mlp", [Gap(1)]),
        ("1.attention,3.mlp", [Gap(1), Gap(3)]),
        ("1.mlp,2", [Gap(2)]),  # between them there is nothing
        ("2.time.1,2.1,2.mlp.0", [Projection(2, n) for n in ("time", "space", "mlp")]),
        ("1.2,2,4.mlp", [Projection(1, "attention"), Gap(2), Gap(4)]),
        ("0,1.2,1.mlp", [Gap(0), Projection(1, "attention"), Gap(1)]),
    ],
)
def test_where_a_smaller_model_is_mended(units: str, places: list[object]) -> None:
    full = toy()
    assert sites(drop_units(full, units), full) == places
    # What was gone before is not mended again.
    smaller = drop_units(full, units)
    assert sites(smaller, smaller) == []


@pytest.mark.parametrize("scope", ["attention", "mlp", "head", "neurons"])
def test_answers_are_more_like_the_full_models(scope: str) -> None:
    full = toy()
    pruned = drop_units(full, units_of(full, scope)[1::2])
    found = fit_bridges(pruned, full, batches(4), kind="full", classifier=False)
    assert found.divergence < found.divergence_before
    shares = {**found.bridges, **found.projections}
    assert shares
    assert all(share < 1 for share in shares.values())
    parts = scope in ("head", "neurons")
    assert bool(found.projections) is parts
    assert bool(bridges(found.model)) is not parts
    # It is made anew from what is said of it.
    again = take_apart(
        toy(seed=5), found.model.dropped, [bridge.described() for bridge in bridges(found.model)]
    )
    again.load_state_dict(found.model.state_dict())
    clips = batches(1)[0]
    torch.testing.assert_close(again.eval()(clips), found.model(clips))


def test_projections_are_alike_for_every_kind_of_bridge_up_to_the_first_one() -> None:
    full = toy()
    pruned = drop_units(full, "0.1,1.mlp,2.1")
    found = {
        kind: fit_bridges(pruned, full, batches(), kind=kind) for kind in ("full", "scale", "auto")
    }
    first = {found[kind].projections["0.attention"] for kind in found}
    assert len(first) == 1
    assert found["full"].projections["2.space"] != found["scale"].projections["2.space"]
    assert found["auto"].divergence <= min(found[kind].divergence for kind in found)


def doubled(branch: PartedBranch) -> None:
    """Let a branch's odd parts do what its even ones do, so that half of them can do it all."""
    for module in branch.modules():
        if module is branch.last or not isinstance(module, nn.Linear):
            continue
        if module.out_features % sum(branch.widths):
            continue
        rows = torch.arange(module.out_features).unflatten(
            0, (-1, branch.num_parts, *_width(branch))
        )
        rows[:, 1::2] = rows[:, ::2]
        module.weight.data.copy_(module.weight.data[rows.flatten()])
        module.bias.data.copy_(module.bias.data[rows.flatten()])


def _width(branch: PartedBranch) -> tuple[int]:
    (width,) = set(branch.widths)
    return (width,)


@pytest.mark.parametrize("scope", ["head", "neurons"])
@pytest.mark.parametrize("name", ["toy", "timesformer"])
def test_parts_whose_work_others_can_do_are_given_back(name: str, scope: str) -> None:
    torch.manual_seed(0)
    full: VideoTransformer = toy()
    clips = batches()
    if name == "timesformer":
        full = build_model(name, "tiny", num_classes=3, num_frames=4, image_size=32).eval()
        full.initialise_for_scratch()
        clips = [torch.randn(10, 3, 4, 32, 32)]
    for block in blocks_of(full):
        for branch in block.branches.values():
            assert isinstance(branch, PartedBranch)
            doubled(branch)
    odd = [unit for unit in units_of(full, scope) if unit.number is not None and unit.number % 2]
    pruned = drop_units(full, odd)
    before = copy.deepcopy(pruned.state_dict())
    found = fit_bridges(pruned, full, clips, kind="full", classifier=False)
    with torch.inference_mode():
        assert (pruned(clips[0]) - full(clips[0])).abs().max() > 1e-3
        torch.testing.assert_close(found.model(clips[0]), full(clips[0]), atol=1e-4, rtol=1e-4)
    assert found.divergence < 1e-6 < found.divergence_before
    sizes = {name: value.shape for name, value in found.model.state_dict().items()}
    assert sizes == {name: value.shape for name, value in before.items()}  # none are added
    assert all(torch.equal(value, before[name]) for name, value in pruned.state_dict().items())


def test_a_branch_without_any_part_is_left_its_bias() -> None:
    full = toy()
    pruned = drop_units(full, [f"1.{head}" for head in range(4)])
    found = fit_bridges(pruned, full, batches(), kind="full", classifier=False)
    assert found.divergence < found.divergence_before
    assert 0 < found.projections["1.attention"] < 1


def test_room_is_left_for_bridges_alone() -> None:
    full = toy()
    pruned = drop_units(full, "0.1,1.mlp")
    count = lambda model: sum(p.numel() for p in model.parameters())  # noqa: E731
    assert count(with_room(pruned, full, "full")) == count(pruned) + 16 * 16 + 16
