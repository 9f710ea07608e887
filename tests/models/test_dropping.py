"""Dropping units is ablating them, in every architecture and scope; what is left keeps its name."""

import copy
import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chain import NAMES, randomise
from torch import Tensor
from toy_chain import gated, toy

from vitprune.heads.attention import attention_maps, rollout
from vitprune.importance import SCOPES, ablate, ablate_sets, ablate_together, units_of
from vitprune.models import VideoTransformer, build_model
from vitprune.models.branches import PartedBranch
from vitprune.models.dropping import drop_layers, drop_units
from vitprune.models.places import places
from vitprune.models.unit import Unit, read_units

VARIANTS = {
    **{name: {} for name in NAMES},
    "mvit v1": {"version": 1},
    "mvit v1 2021": {"version": 1, "pool_all_keys": False},
}
SETTINGS = {"num_classes": 5, "num_frames": 4, "image_size": 32}
PARTS = ("head", "neurons")


@pytest.fixture(scope="module", params=VARIANTS)
def model(request: pytest.FixtureRequest) -> VideoTransformer:
    torch.manual_seed(0)
    name, *_ = request.param.split()
    model = build_model(name, "tiny", **SETTINGS, config=VARIANTS[request.param] or None)
    randomise(model)
    return model.eval()


@pytest.fixture(scope="module")
def clips() -> Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def no_grad(request: pytest.FixtureRequest) -> Iterator[None]:
    with torch.set_grad_enabled("trained" in request.node.name):
        yield


def size(model: VideoTransformer) -> int:
    return sum(p.numel() for p in model.parameters())


def some_of(units: list[Unit], count: int, seed: int = 0) -> list[Unit]:
    order = torch.randperm(len(units), generator=torch.Generator().manual_seed(seed))
    return [units[i] for i in order[:count]]


def mixture(model: VideoTransformer, seed: int) -> list[Unit]:
    """Some units of every scope; some are part of others."""
    return [unit for scope in SCOPES for unit in some_of(units_of(model, scope), 3, seed)]


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def canonical(model: VideoTransformer, units: list[Unit]) -> list[Unit]:
    """The units without those that are part of others."""
    gone = set(units)
    for block in model.blocks:
        if all(Unit(block.index, branch) in gone for branch in ("attention", "mlp")):
            gone.add(Unit(block.index))

    def within(unit: Unit) -> list[Unit]:
        branch = Unit(unit.layer, "mlp" if unit.branch == "mlp" else "attention")
        return [] if unit.scope == "layer" else [Unit(unit.layer), *[branch] * (unit != branch)]

    return sorted(unit for unit in gone if not gone.intersection(within(unit)))


@pytest.mark.parametrize("scope", SCOPES)
def test_dropping_is_ablating(model: VideoTransformer, clips: Tensor, scope: str) -> None:
    full, before = model(clips), copy.deepcopy(model.state_dict())
    for seed, count in ((0, 1), (1, 4)):
        units = some_of(units_of(model, scope), count, seed)
        smaller = drop_units(model, units)
        assert_same(smaller(clips), gated(model, clips, units))
        assert_same(smaller(clips), ablate_together(model, clips, units))
        assert (smaller(clips) - full).abs().max() > 1e-4
        assert smaller.dropped == tuple(sorted(units))
        assert units_of(smaller, scope) == [u for u in units_of(model, scope) if u not in units]
    assert all(torch.equal(before[name], p) for name, p in model.state_dict().items())
    assert model.dropped == ()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), others=st.integers(0, 10_000))
def test_any_mixture_in_two_steps_or_at_once(
    model: VideoTransformer, clips: Tensor, seed: int, others: int
) -> None:
    units, clips = mixture(model, seed), clips[:1]
    at_once = drop_units(model, units)
    assert list(at_once.dropped) == canonical(model, units)
    assert_same(at_once(clips), gated(model, clips, units))
    assert_same(at_once(clips), ablate_together(model, clips, units))
    first = some_of(units, len(units) // 2, others)
    halfway = drop_units(model, first)
    in_steps = drop_units(halfway, [unit for unit in units if unit in places(halfway)])
    assert in_steps.dropped == at_once.dropped
    ours, theirs = in_steps.state_dict(), at_once.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_sets_of_units_share_what_they_have_in_common(
    model: VideoTransformer, clips: Tensor
) -> None:
    sets = [mixture(model, seed)[: 3 + seed] for seed in range(4)]
    found = ablate_sets(model, clips, [*sets, []])
    for units, logits in zip([*sets, []], found, strict=True):
        assert_same(logits, gated(model, clips, units))


def test_a_smaller_model_speaks_in_the_numbers_of_the_unpruned_one(
    model: VideoTransformer, clips: Tensor
) -> None:
    gone = mixture(model, 7)
    smaller = drop_units(model, gone)
    for scope in SCOPES:
        unit = some_of(units_of(smaller, scope), 1)[0]
        found = ablate(smaller, clips, units=[unit]).ablated[0]
        assert_same(found, gated(model, clips, [*gone, unit]))
    every = ablate(smaller, clips, "any")
    assert every.units == units_of(smaller, "any")
    assert_same(every.full, smaller(clips))


def own_parameters(branch: PartedBranch, number: int) -> int:
    """What goes with a head or a group of neurons, counted by hand."""
    width = branch.widths[branch.numbers.index(number)]
    out = width * branch.last.out_features
    if hasattr(branch, "fc1"):
        return out + width * branch.fc1.in_features + width
    if hasattr(branch, "original"):
        linears = [m for m in branch.original.modules() if isinstance(m, torch.nn.Linear)]
        assert len(linears) == 3
        return out + sum(width * (m.in_features + (m.bias is not None)) for m in linears)
    table = getattr(branch, "relative_position_bias_table", None)
    return out + 3 * width * (branch.qkv.in_features + 1) + (0 if table is None else len(table))


@pytest.mark.parametrize("scope", PARTS)
def test_parameters_fall_by_those_of_the_parts(model: VideoTransformer, scope: str) -> None:
    units = some_of(units_of(model, scope), 7)
    there = places(model)
    expected = sum(own_parameters(there[unit].parted, unit.number or 0) for unit in units)
    assert size(model) - size(drop_units(model, units)) == expected > 0


@pytest.mark.parametrize("scope", ["attention", "mlp"])
def test_parameters_of_a_branch_are_gone_but_for_its_residual_path(
    model: VideoTransformer, scope: str
) -> None:
    units, there = units_of(model, scope), places(model)
    branches = [branch for unit in units for branch in there[unit].branches]
    own = sum(p.numel() for branch in branches for p in branch.parameters())
    paths = [path for branch in branches if (path := branch.leftover()) is not None]
    left = sum(p.numel() for path in paths for p in path.parameters())
    assert size(model) - size(drop_units(model, units)) == own - left


@pytest.mark.parametrize("scope", PARTS)
def test_without_any_part_the_bias_stays(
    model: VideoTransformer, clips: Tensor, scope: str
) -> None:
    layers = (0, model.num_layers // 2)
    units = [unit for unit in units_of(model, scope) if unit.layer in layers]
    smaller = drop_units(model, units)
    assert_same(smaller(clips), gated(model, clips, units))
    assert smaller.dropped == tuple(units)
    branch = "mlp" if scope == "neurons" else "attention"
    whole = [Unit(layer, branch) for layer in layers]
    assert_same(drop_units(smaller, whole)(clips), gated(model, clips, whole))
    assert (smaller(clips) - drop_units(smaller, whole)(clips)).abs().max() > 1e-4
    assert rollout(smaller, clips).tokens.isfinite().all()


def test_maps_are_those_of_the_heads_that_stay(model: VideoTransformer, clips: Tensor) -> None:
    """Of the first layer, whose attention sees the same in both models."""
    attention = next(a for b in model.blocks for a in b.attentions.values() if a.num_heads > 1)
    there = places(model).values()
    gone, *left = [
        place.unit
        for place in there
        if attention in place.branches[:1] and place.unit.number is not None
    ]
    smaller = drop_units(model, gone)
    expected = attention_maps(model, clips, left)
    for unit, found in attention_maps(smaller, clips, left).items():
        assert_same(found.tokens, expected[unit].tokens)


def test_a_smaller_model_is_trained(model: VideoTransformer, clips: Tensor) -> None:
    with torch.inference_mode():
        smaller = drop_units(model, mixture(model, 3)).train()
    torch.nn.functional.cross_entropy(smaller(clips), torch.tensor([0, 3])).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in smaller.parameters())
    smaller.eval()
    torch.optim.AdamW(smaller.parameters(), lr=1e-3).step()
    assert smaller(clips).isfinite().all()


def test_groups_are_in_index_order_and_of_the_number_that_is_asked_for() -> None:
    model = toy()
    mlp = model.blocks[0].branches["mlp"]
    before = mlp.fc1.weight.clone()
    model.group_neurons(5)
    assert mlp.widths == (6, 6, 7, 6, 7)  # of 32
    assert units_of(model, "neurons")[:6] == read_units(
        "0.mlp.0,0.mlp.1,0.mlp.2,0.mlp.3,0.mlp.4,1.mlp.0"
    )
    smaller = drop_units(model, "0.mlp.1,0.mlp.3")
    kept = [*range(6), *range(12, 19), *range(25, 32)]
    assert torch.equal(smaller.blocks[0].branches["mlp"].fc1.weight, before[kept])
    smaller.group_neurons(5)
    with pytest.raises(ValueError, match="so they stay 5, not 8"):
        smaller.group_neurons(8)
    model.group_neurons(1000)
    assert len(units_of(model, "neurons")) == sum(b.branches["mlp"].num_parts for b in model.blocks)
    assert model.blocks[0].branches["mlp"].num_parts == 32


def test_units_are_taken_as_they_are_written() -> None:
    model = toy()
    expected = ("0.attention", "1", "2.time.3", "2.0", "4.mlp.2")
    for units in (
        "0.attention, 1,2.time.3,2.space.0,4.mlp.2",
        ["0.attention", 1, "2.time.3", "2.0", "4.mlp.2"],
        list(map(Unit.parse, expected)),
    ):
        assert tuple(map(str, drop_units(model, units).dropped)) == expected
    assert drop_units(model, Unit(1)).layers == drop_layers(model, [1]).layers == (0, 2, 3, 4)
    assert drop_units(model, []).dropped == ()


@pytest.mark.parametrize(
    ("units", "line"),
    [
        ("9", "the model has no layer 9; it has layers 1, 2, 3, 4"),
        ("0.mlp", "the model has no 0.mlp; it has layers 1, 2, 3, 4"),
        ("1.7,1.time.0", "the model has no heads 1.7, 1.time.0; it has heads 1.0, 1.2, 1.3"),
        ("1.mlp.8", "the model has no 1.mlp.8; it has 1.mlp.0, 1.mlp.1"),
        ("1,2,3,4.attention,4.mlp", "cannot drop all 4 layers; at least one must stay"),
        ("1.time", "'1.time' is no unit"),
    ],
)  # fmt: skip
def test_what_cannot_be_dropped(units: str, line: str) -> None:
    smaller = drop_units(toy(), "0,1.1")
    with pytest.raises(ValueError, match=line.replace(".", r"\.")):
        drop_units(smaller, units)


def test_a_layer_without_branches_is_dropped() -> None:
    model = toy()
    assert drop_units(model, "3.attention,3.mlp,3.mlp.2").dropped == (Unit(3),)
    halfway = drop_units(model, "2.attention")
    assert halfway.layers == model.layers
    assert drop_units(halfway, "2.mlp").dropped == drop_units(halfway, "2").dropped == (Unit(2),)


def test_what_stays_of_a_last_attention_keeps_its_name() -> None:
    """The heads of ``space`` are those without a name, also where it is ``time`` that is gone."""
    smaller = drop_units(toy(), "2.time.0,2.time.1,2.time.2,2.time.3")
    assert [str(u) for u in units_of(smaller, "head") if u.layer == 2] == ["2.0", "2.1"]
    assert math.prod(smaller.blocks[2].branches["time"].qkv.weight.shape) == 0
