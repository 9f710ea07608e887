"""What every architecture owes to the chain: see vitprune/models/chain.py."""

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vitprune.errors import InputError
from vitprune.importance import ablate
from vitprune.models import VideoTransformer, build_model
from vitprune.models.chain import Attention, Branch, Mlp, PartedBranch, Tokens
from vitprune.models.dropping import drop_layers
from vitprune.models.unit import Unit

HUB = ["videomae", "vivit", "vjepa2", "videoprism"]
NAMES = ["timesformer", "video_swin", "mvit", *HUB]
DEPTH = {"timesformer": 12, "video_swin": 24, "mvit": 16,
         "videomae": 12, "vivit": 12, "vjepa2": 24, "videoprism": 16}  # fmt: skip
RESHAPING = {"video_swin": [2, 4, 22], "mvit": [1, 3, 14], "videoprism": [12]}
"""Layers that change width or resolution, or follow something that is part of no layer."""
ONE_SIZE = ["videomae", "vivit", "vjepa2"]
"""Those that take only clips of the height and width that they were built for."""


def randomise(model: nn.Module) -> None:
    """Makes every parameter matter, also those that start at zero or one."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.fixture(scope="module", params=[*NAMES, "mvit v1_b", "mvit v1_b_2021"])
def model(request: pytest.FixtureRequest) -> VideoTransformer:
    torch.manual_seed(0)
    if " " in request.param:
        name, variant = request.param.split()
        model = build_model(name, variant, num_classes=5, num_frames=4, image_size=32)
    else:
        model = build_model(request.param, "tiny", num_classes=5)
    randomise(model)
    return model.eval()


@pytest.fixture(scope="module")
def clips(model: VideoTransformer) -> Tensor:
    size = model.spec.image_size
    return torch.randn(2, 3, model.spec.num_frames, size, size)


@pytest.fixture(autouse=True)
def no_grad(request: pytest.FixtureRequest) -> Iterator[None]:
    with torch.set_grad_enabled("gradients" in request.node.name):
        yield


def walk(model: VideoTransformer, clips: Tensor) -> Iterator[tuple[nn.Module, Tokens]]:
    """Each block with what comes into it."""
    tokens = model.embed(clips)
    for block in model.blocks:
        yield block, tokens
        tokens = block(tokens)


def test_tokens_fill_their_grid(model: VideoTransformer, clips: Tensor) -> None:
    class_tokens = int(model.spec.name in ("timesformer", "mvit", "vivit"))
    for _, (x, grid) in walk(model, clips):
        assert x.shape[:2] == (len(clips), grid[0] * grid[1] * grid[2] + class_tokens)
    assert model(clips).shape == (len(clips), 5)


def test_shortcut_is_what_the_leftovers_compute(model: VideoTransformer, clips: Tensor) -> None:
    for block, tokens in walk(model, clips):
        expected = block.shortcut(tokens)
        leftovers = nn.Sequential(*block.leftover())
        actual = leftovers(tokens)
        assert actual.grid == expected.grid
        torch.testing.assert_close(actual.x, expected.x)
        own = {id(p) for branch in block.branches.values() for p in branch.parameters()}
        assert not own & {id(p) for p in leftovers.parameters()}


def test_shortcut_is_what_closed_gates_leave(model: VideoTransformer, clips: Tensor) -> None:
    for block, tokens in walk(model, clips):
        for branch in block.branches.values():
            branch.gate = torch.zeros(())
        try:
            actual = block(tokens)
        finally:
            for branch in block.branches.values():
                branch.gate = None
        expected = block.shortcut(tokens)
        assert actual.grid == expected.grid
        torch.testing.assert_close(actual.x, expected.x)


def ablated(model: VideoTransformer, clips: Tensor, layers: set[int]) -> Tensor:
    tokens = model.embed(clips)
    for block in model.blocks:
        tokens = block.shortcut(tokens) if block.index in layers else block(tokens)
    return model.classify(tokens)


def assert_dropping_is_ablating(
    model: VideoTransformer, clips: Tensor, layers: set[int]
) -> VideoTransformer:
    smaller = drop_layers(model, sorted(layers))
    torch.testing.assert_close(smaller(clips), ablated(model, clips, layers), atol=1e-5, rtol=1e-5)
    assert smaller.dropped == tuple(map(Unit, sorted(layers)))
    return smaller


@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_dropping_is_ablating(model: VideoTransformer, clips: Tensor, data: st.DataObject) -> None:
    depth = model.num_layers
    layers = data.draw(st.sets(st.integers(0, depth - 1), min_size=1, max_size=depth - 1))
    assert_dropping_is_ablating(model, clips[:1], layers)


def test_dropping_first_last_and_reshaping_layers(model: VideoTransformer, clips: Tensor) -> None:
    before = copy.deepcopy(model.state_dict())
    logits = model(clips)
    last = model.num_layers - 1
    reshaping = set(RESHAPING.get(model.spec.name, ()))
    for layers in ({0}, {last}, reshaping or {1}, {0, last} | reshaping, set(range(last))):
        smaller = assert_dropping_is_ablating(model, clips, layers)
        count = sum(p.numel() for p in model.parameters())
        assert sum(p.numel() for p in smaller.parameters()) < count
    # one after the other is the same as together
    once = drop_layers(drop_layers(model, [last]), [last - 1, 0])
    torch.testing.assert_close(once(clips), ablated(model, clips, {0, last - 1, last}))
    assert model.layers == tuple(range(last + 1))
    assert all(torch.equal(before[name], p) for name, p in model.state_dict().items())
    torch.testing.assert_close(model(clips), logits, atol=0, rtol=0)


def test_a_closed_gate_takes_the_contribution_away(model: VideoTransformer, clips: Tensor) -> None:
    for block, tokens in walk(model, clips):
        tokens = block.before(tokens)
        for branch in block.branches.values():
            assert isinstance(branch, PartedBranch)
            parts, skip = branch.parts(tokens), branch.skip(tokens).x
            assert parts.shape == (*skip.shape[:2], sum(branch.widths))
            if isinstance(branch, Attention):
                heads = branch.heads(tokens)
                assert heads.shape[:3] == (*skip.shape[:2], branch.num_heads)
                torch.testing.assert_close(parts, heads.flatten(2))
            torch.testing.assert_close(branch.project(parts), branch.update(tokens))
            assert branch.project(parts).shape == skip.shape
            number = block.index % branch.num_parts
            branch.part_gate = torch.ones(branch.num_parts)
            branch.part_gate[number] = 0
            try:
                actual = branch.update(tokens)
            finally:
                branch.part_gate = None
            expected = branch.project(parts) - branch.contribution(parts, number)
            torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-4)
            tokens = branch(tokens)


def test_attention_over_time_leaves_the_class_token_alone(
    model: VideoTransformer, clips: Tensor
) -> None:
    if model.spec.name != "timesformer":
        pytest.skip("only TimeSformer attends over time alone")
    for block, tokens in walk(model, clips):
        after = block.branches["time"](tokens).x
        assert torch.equal(after[:, 0], tokens.x[:, 0])
        assert not torch.isclose(after[:, 1:], tokens.x[:, 1:]).all()


def test_an_observer_sees_weights_and_changes_nothing(
    model: VideoTransformer, clips: Tensor
) -> None:
    for block, tokens in walk(model, clips):
        tokens = block.before(tokens)
        for branch in block.branches.values():
            if isinstance(branch, Attention):
                seen: list[Tensor] = []
                expected = branch(tokens).x
                branch.observer = seen.append
                try:
                    actual = branch(tokens).x
                finally:
                    branch.observer = None
                torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
                (weights,) = seen
                assert weights.shape[0] == len(clips)
                assert weights.shape[-3] == branch.num_heads
                torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
            tokens = branch(tokens)


def test_weights_are_all_the_state_there_is(model: VideoTransformer, clips: Tensor) -> None:
    model(clips)
    names = {name for name, _ in model.named_parameters()}
    assert set(model.state_dict()) == names
    assert set(copy.deepcopy(model).state_dict()) == names


def test_gradients_reach_every_parameter(model: VideoTransformer, clips: Tensor) -> None:
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, Branch):
            module.drop_path = nn.Identity()  # might leave out a branch
    nn.functional.cross_entropy(model(clips), torch.tensor([0, 3])).backward()
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    if model.spec.name == "mvit":  # only the class token is read out, which has no place
        last = f"blocks.{model.num_layers - 1}.branches.attention."
        without -= {last + n for n in ("rel_pos_t", "rel_pos_h", "rel_pos_w")}
        without -= {last + "pool_q.pool.weight"}
    assert not without


def test_weights_that_change_are_used(model: VideoTransformer, clips: Tensor) -> None:
    changed = copy.deepcopy(model)
    changed(clips)
    for parameter in changed.parameters():
        parameter.data.mul_(0.9)
    state = {name: p * 0.9 for name, p in model.state_dict().items()}
    loaded = copy.deepcopy(model)
    loaded.load_state_dict(state)
    torch.testing.assert_close(changed(clips), loaded(clips))
    assert not torch.isclose(changed(clips), model(clips)).all()


def test_gradients_after_inference_mode(model: VideoTransformer) -> None:
    """What was remembered of a size in inference mode can be trained with."""
    frames, size = model.spec.num_frames, model.spec.image_size
    shape = (3, 3, frames, size, size)  # a batch that no other test has
    with torch.inference_mode():
        model(torch.randn(shape))
    model(torch.randn(shape)).sum().backward()
    model.zero_grad()


def shallow(name: str, **size: int) -> VideoTransformer:
    """Its first three layers and its last, and all that lies between layers."""
    model = build_model(name, "tiny", num_classes=3, **size)
    return drop_layers(model, range(3, model.num_layers - 1))


@pytest.mark.parametrize("name", NAMES)
def test_shapes_alone_leave_no_traces(name: str) -> None:
    """What was made in a run without values is not taken for the real thing later."""
    model = shallow(name, num_frames=6, image_size=96).eval()
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert model(torch.empty(1, 3, 6, 96, 96)).shape == (1, 3)
    assert model(torch.randn(1, 3, 6, 96, 96)).isfinite().all()


class SeenOnCpu(TorchDispatchMode):
    """Names of the operations that had to do with a tensor in main memory."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(x, Tensor) and x.is_cpu for x in tree_leaves((args, kwargs, out))):
            self.names.append(str(func))
        return out


@pytest.mark.parametrize("name", NAMES)
def test_what_is_remembered_of_a_size_lies_on_the_device(name: str) -> None:
    """Forward, backward and scoring elsewhere than on the CPU touch nothing that lies there."""
    model = shallow(name).to("meta")
    size = model.spec.image_size
    more = (0, 0) if name in ONE_SIZE else (2, 16)
    clips = torch.randn(2, 3, model.spec.num_frames + more[0], size, size + more[1], device="meta")

    def use() -> None:
        with torch.enable_grad():
            model(clips).sum().backward()
        ablate(model, clips, "any")

    use()
    with SeenOnCpu() as seen:
        use()
    assert not seen.names


@pytest.mark.parametrize(("dtype", "error"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
def test_half_precision(
    model: VideoTransformer, clips: Tensor, dtype: torch.dtype, error: float
) -> None:
    expected = model(clips)
    with torch.autocast("cpu", dtype):
        mixed = model(clips)
    true = copy.deepcopy(model).to(dtype)(clips.to(dtype))
    for actual in (mixed, true):
        assert (actual.float() - expected).norm() < error * expected.norm()


@pytest.mark.parametrize(
    ("name", "variant", "millions"),
    [
        ("timesformer", "base", 121.57),
        ("video_swin", "t", 28.16),
        ("video_swin", "s", 49.82),
        ("video_swin", "b", 88.05),
        ("mvit", "v1_b", 36.61),
        ("mvit", "v1_b_2021", 36.60),
        ("mvit", "v2_s", 34.54),
    ],
)
def test_parameters(name: str, variant: str, millions: float) -> None:
    with torch.device("meta"):
        model = build_model(name, variant)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)
    assert model.num_layers == len(model.blocks) == (12 if variant == "t" else DEPTH[name])


@pytest.mark.parametrize("name", NAMES)
def test_tiny_is_as_deep_as_the_real_one(name: str) -> None:
    assert build_model(name, "tiny").num_layers == DEPTH[name]


@pytest.mark.parametrize("name", NAMES)
def test_any_size_can_be_built(name: str) -> None:
    model = build_model(name, "tiny", num_classes=3, num_frames=6, image_size=96).eval()
    assert model(torch.randn(1, 3, 6, 96, 96)).shape == (1, 3)
    assert (model.spec.num_frames, model.spec.image_size) == (6, 96)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONE_SIZE])
def test_clips_of_another_size(name: str) -> None:
    model = build_model(name, "tiny", num_classes=3).eval()
    assert model(torch.randn(2, 3, 6, 96, 80)).shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("swin",),
            "unknown model 'swin'; there are mvit, timesformer, video_swin, videomae, videoprism, "
            "vivit, vjepa2, and hub with weights",
        ),
        (("mvit", "b"), "mvit has no variant 'b'; it has v2_s, v1_b, v1_b_2021, tiny"),
    ],
)
def test_unknown_names(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as error:
        build_model(*arguments)
    assert str(error.value) == message


def test_a_size_that_is_no_multiple_of_the_patch_size() -> None:
    with pytest.raises(InputError, match="image_size=100 is no multiple"):
        build_model("timesformer", "tiny", image_size=100)


@pytest.mark.parametrize("name", NAMES)
def test_branches_of_a_tiny_model_begin_as_large_as_its_architecture_says(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, "tiny")
    for block in model.blocks:
        for branch in block.branches.values():
            last = branch.fc2 if isinstance(branch, Mlp) else branch.proj
            gain = {"video_swin": 0.5, "mvit": 0.2}.get(name, 1)
            bound = gain * (6 / sum(last.weight.shape)) ** 0.5
            assert 0.9 * bound < last.weight.abs().max() <= bound


@pytest.mark.parametrize("name", ["mvit", "video_swin"])
def test_tiny_sees_change_before_anything_else(name: str) -> None:
    model = build_model(name, "tiny")
    still = torch.rand(1, 3, 1, model.spec.image_size, model.spec.image_size) - 0.5
    still = still.expand(-1, -1, model.spec.num_frames, -1, -1)
    moving = torch.rand(still.shape) - 0.5
    patches = next(module for module in model.modules() if isinstance(module, nn.Conv3d))

    def answer(clips: Tensor) -> float:
        return float(F.conv3d(clips, patches.weight, None, patches.stride).std())

    assert answer(still) < 0.25 * answer(moving)
