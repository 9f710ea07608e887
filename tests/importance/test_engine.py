import pytest
import torch
from live_bytes import peak_bytes
from torch._subclasses import FakeTensorMode
from toy_chain import naive, toy

from vitprune.importance import SCOPES, Unit, ablate, ablate_sets, ablate_together, units_of
from vitprune.importance.engine import _next_wave, bytes_for_streams
from vitprune.importance.stream import Departure
from vitprune.models import build_model
from vitprune.models.dropping import drop_layers

ARCHITECTURES = ("timesformer", "video_swin", "mvit", "videomae", "vivit", "vjepa2", "videoprism")


ALIKE = {"video_swin": range(6, 22), "vjepa2": range(6, 22)}
"""Layers of the deepest that are built as those before them are."""


def tiny(name):
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=5, num_frames=4, image_size=32)
    return drop_layers(model, ALIKE.get(name, [])).eval()


@pytest.fixture(scope="module", params=ARCHITECTURES)
def architecture(request):
    return tiny(request.param)


@pytest.fixture(scope="module")
def videos():
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("scope", [*SCOPES, "any"])
@pytest.mark.parametrize("max_streams", [None, 1, 3, 100])
def test_toy_equals_one_forward_pass_per_unit(clips, scope, max_streams):
    model = toy()
    units = units_of(model, scope)
    full, ablated = naive(model, clips, units)
    got = ablate(model, clips, scope, max_streams=max_streams)
    assert got.units == units
    assert (ablated - full).abs().amax(dim=(1, 2)).min() > 1e-3  # every unit does something
    torch.testing.assert_close(got.full, full, atol=0, rtol=0)
    torch.testing.assert_close(got.ablated, ablated, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scope", SCOPES)
def test_architecture_equals_one_forward_pass_per_unit(architecture, videos, scope):
    units = units_of(architecture, scope)
    full, ablated = naive(architecture, videos, units)
    assert (ablated - full).abs().amax(dim=(1, 2)).min() > 1e-3
    for max_streams in (None, 5):
        got = ablate(architecture, videos, scope, max_streams=max_streams)
        assert got.units == units
        torch.testing.assert_close(got.full, full, atol=1e-5, rtol=0)
        torch.testing.assert_close(got.ablated, ablated, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scope", SCOPES)
def test_batch_size_does_not_matter(architecture, videos, scope):
    together = ablate(architecture, videos, scope).ablated
    apart = [ablate(architecture, clip[None], scope).ablated for clip in videos]
    torch.testing.assert_close(torch.cat(apart, dim=1), together, atol=1e-5, rtol=0)


def test_ablating_several_layers_equals_dropping_them(architecture, videos):
    layers = [0, *architecture.layers[3::4], architecture.layers[-1]]
    with torch.no_grad():
        dropped = drop_layers(architecture, layers)(videos)
    together = ablate_together(architecture, videos, layers)
    torch.testing.assert_close(together, dropped, atol=1e-5, rtol=0)
    with pytest.raises(ValueError, match="has no layer"):
        ablate_together(architecture, videos, [99])


@pytest.mark.parametrize("width", [1, 2, 50])
def test_many_sets_at_once_equal_dropping_each(architecture, videos, width, monkeypatch):
    monkeypatch.setattr("vitprune.importance.engine.bytes_for_streams", lambda *_: width * 40_000)
    first, last = architecture.layers[0], architecture.layers[-1]
    sets = [[], [2], [2, last], [last, 2], [first, 2, 5], [5]]
    got = ablate_sets(architecture, videos, sets)
    for logits, layers in zip(got, sets, strict=True):
        with torch.no_grad():
            dropped = drop_layers(architecture, layers)(videos)
        torch.testing.assert_close(logits, dropped, atol=1e-5, rtol=0)


def test_a_pruned_model_is_ablated_like_any_other(architecture, videos):
    smaller = drop_layers(architecture, [0, 1, architecture.layers[-2]])
    units = units_of(smaller)
    assert [unit.layer for unit in units] == list(smaller.layers)
    _, ablated = naive(smaller, videos, units)
    got = ablate(smaller, videos)
    torch.testing.assert_close(got.ablated, ablated, atol=1e-5, rtol=0)


def test_some_units_in_any_order(clips):
    model = toy()
    every = ablate(model, clips, "head")
    some = [every.units[i] for i in (7, 2, 12)]
    got = ablate(model, clips, "head", units=some, max_streams=2)
    assert got.units == some
    torch.testing.assert_close(got.ablated, every.ablated[[7, 2, 12]], atol=1e-5, rtol=0)


def test_no_units_at_all(clips):
    assert ablate(toy(), clips, units=[]).ablated.shape == (0, 3, 5)


def test_modes_and_gradients_are_left_as_they_were(clips):
    model = toy().train()
    model.blocks[1].eval()
    modes = [module.training for module in model.modules()]
    got = ablate(model, clips)
    assert [module.training for module in model.modules()] == modes
    assert not got.full.requires_grad
    torch.testing.assert_close(got.full, model.eval()(clips).detach())


def test_inference_mode_and_autocast_are_respected(clips):
    model = toy()
    with torch.inference_mode():
        inference = ablate(model, clips)
    torch.testing.assert_close(inference.ablated, ablate(model, clips).ablated, atol=0, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        half = ablate(model, clips, "head")
    assert half.full.dtype == torch.bfloat16
    _, ablated = naive(model, clips, half.units)
    torch.testing.assert_close(half.ablated.float(), ablated, atol=0.1, rtol=0)


def test_double_precision_is_exact(clips):
    model = toy().double()
    units = units_of(model, "layer")
    _, ablated = naive(model, clips.double(), units)
    got = ablate(model, clips.double()).ablated
    torch.testing.assert_close(got, ablated, atol=1e-12, rtol=0)


def test_each_block_runs_no_more_often_than_reuse_needs(clips):
    model = toy()
    rows = {block.index: 0 for block in model.blocks}
    for block in model.blocks:
        block.branches["mlp"].register_forward_hook(
            lambda module, args, output, index=block.index: rows.__setitem__(
                index, rows[index] + len(args[0].x)
            )
        )
    ablate(model, clips, max_streams=2)
    assert rows == {index: (index + 1) * len(clips) for index in range(5)}


def test_what_is_refused(clips):
    model = toy()
    with pytest.raises(ValueError, match=r"scope='layers' is not one of layer, .*head"):
        ablate(model, clips, "layers")
    with pytest.raises(ValueError, match="no layer 7; it has layers 0, 1, 2, 3, 4"):
        ablate(model, clips, units=[Unit(7)])
    with pytest.raises(ValueError, match="max_streams=0"):
        ablate(model, clips, max_streams=0)
    model.blocks[0].branches["mlp"].gate = torch.zeros(())
    with pytest.raises(ValueError, match="gates"):
        ablate(model, clips)


def test_waves_widen_where_tokens_are_small():
    model = toy()
    small = model.embed(torch.zeros(1, 3, 2, 8, 8))
    large = small._replace(x=torch.empty(64, 50_000, 96, device="meta"))
    narrow = large._replace(x=torch.empty(64, 6_000, 96, device="meta"))

    def widths(*tokens, most=None):
        departures = iter([Departure(Unit(0), 1, one, one) for one in tokens])
        most_bytes = bytes_for_streams(model, tokens[0])
        return [len(wave) for wave in iter(lambda: _next_wave(departures, most, most_bytes), [])]

    assert widths(*[small] * 100) == [100]
    assert widths(large, large, *[narrow] * 12) == [1, 1, 5, 5, 2]  # most_bytes for 0.7 large ones
    assert widths(*[large] * 5, most=2) == [2, 2, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "variant", "batch", "scope"),
    [
        ("mvit", "v2_s", 8, "layer"),
        ("mvit", "v2_s", 1, "head"),
        ("timesformer", "base", 1, "head"),
        ("mvit", "v2_s", 1, "neurons"),
        ("timesformer", "base", 1, "neurons"),
    ],
)
def test_peak_memory_at_full_size_is_under_twice_a_forward(name, variant, batch, scope):
    """Shapes only, nothing is computed. MViT, as branches in its narrow layers hold the most."""
    model = build_model(name, variant).eval()
    spec = model.spec
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    units = units_of(model, scope)[-24:]
    with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
        clips = torch.empty(batch, 3, spec.num_frames, spec.image_size, spec.image_size)
        plain = peak_bytes(lambda: model(clips))
        peak = peak_bytes(lambda: ablate(model, clips, scope, units=units))
    assert weights + peak < 2 * (weights + plain)
