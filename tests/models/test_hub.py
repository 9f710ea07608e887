"""Models of the Hugging Face hub: against transformers' own, and as a chain."""

import ast
import json
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from hub_models import CLASSES, NAMES, PARTS, layers, logits, original, saved, shaken
from torch import Tensor

from vitprune.errors import InputError
from vitprune.heads.attention import attention_maps
from vitprune.hub import Source
from vitprune.importance import ablate, units_of
from vitprune.models import VideoTransformer, build_model
from vitprune.models import hub as adapters
from vitprune.models.dropping import drop_layers, drop_units
from vitprune.models.hub.branches import HubAttention, SpaceAttention, TimeAttention
from vitprune.models.unit import Unit
from vitprune.pruning import count_flops
from vitprune.training import VideoClassifier

FRAMES, SIZE = 4, 32


def clips(frames: int = FRAMES, height: int = SIZE, width: int | None = None) -> Tensor:
    shape = (2, 3, frames, height, width or height)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module", params=NAMES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, VideoTransformer, Path]:
    """transformers' model, ours, and the directory that ours was loaded from."""
    torch.manual_seed(0)
    theirs = original(request.param)
    path = saved(theirs, tmp_path_factory.mktemp(request.param))
    return theirs, build_model("hub", weights=path).eval(), path


def assert_same(ours: VideoTransformer, theirs: Any, shown: Tensor, **how: Any) -> None:
    with torch.no_grad():
        torch.testing.assert_close(ours(shown), logits(theirs, shown, **how), atol=1e-5, rtol=1e-5)


# --- parity ---------------------------------------------------------------------------------------


def test_the_same_logits(pair: Any) -> None:
    theirs, ours, _ = pair
    assert_same(ours, theirs, clips())
    assert ours.class_names == CLASSES
    assert ours.spec.num_classes == 5
    assert (ours.spec.num_frames, ours.spec.image_size) == (FRAMES, SIZE)


@pytest.mark.parametrize(
    ("name", "frames", "size", "more"),
    [
        ("videomae", 6, 48, {"use_mean_pooling": False, "qv_bias": False, "hidden_act": "relu"}),
        ("vivit", 8, 16, {"qkv_bias": False}),
        ("vjepa2", 2, 48, {"qkv_bias": False, "num_pooler_layers": 0}),
        ("videoprism", 3, 40, {"attn_logit_softcapping": 2.0}),
        ("timesformer", 2, 48, {}),
    ],
)
def test_other_configurations(name: str, frames: int, size: int, more: Any, tmp_path: Path) -> None:
    torch.manual_seed(1)
    theirs = original(name, frames, size, **more)
    ours = build_model("hub", weights=saved(theirs, tmp_path)).eval()
    assert_same(ours, theirs, clips(frames, size))


def test_clips_of_any_size_where_transformers_takes_them(tmp_path: Path) -> None:
    theirs = original("videoprism")
    ours = build_model("hub", weights=saved(theirs, tmp_path / "prism")).eval()
    assert_same(ours, theirs, clips(6, 48, 40), interpolate_pos_encoding=True)
    theirs = original("vjepa2")
    ours = build_model("hub", weights=saved(theirs, tmp_path / "jepa")).eval()
    assert_same(ours, theirs, clips(6))
    theirs = original("timesformer")
    ours = build_model("hub", weights=saved(theirs, tmp_path / "timesformer")).eval()
    assert_same(ours, theirs, clips(4, 48, 32))  # of another height alone


@pytest.mark.parametrize("name", ["videomae", "vivit", "vjepa2"])
def test_clips_for_which_there_are_no_positions(name: str, tmp_path: Path) -> None:
    ours = build_model("hub", weights=saved(original(name), tmp_path))
    with pytest.raises(InputError, match="4 frames of 32 x 32 pixels, and these have 4 of 48 x 48"):
        ours(clips(4, 48))


@pytest.mark.slow
def test_base_size(tmp_path: Path) -> None:
    """But for the size of its clips."""
    config = transformers.VideoMAEConfig(image_size=96)
    theirs = shaken(transformers.VideoMAEForVideoClassification(config))
    ours = build_model("hub", weights=saved(theirs, tmp_path, 96)).eval()
    assert (len(ours.blocks), ours.blocks[0].branches["attention"].num_heads) == (12, 12)
    assert_same(ours, theirs, clips(16, 96)[:1])


def test_the_parameters_are_theirs_and_no_more(pair: Any) -> None:
    theirs, ours, _ = pair
    used = [p for name, p in theirs.named_parameters() if "predictor" not in name]
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in used)


# --- units ----------------------------------------------------------------------------------------


def hooked(model: Any, shown: Tensor, *hooks: Any) -> Tensor:
    try:
        return logits(model, shown)
    finally:
        for hook in hooks:
            hook.remove()


def zero(*_: Any) -> Tensor:
    return torch.zeros_like(_[-1])


def test_ablating_is_what_hooks_do_to_transformers_model(pair: Any) -> None:
    theirs, ours, _ = pair
    shown, (projections, last) = clips(), PARTS[ours.spec.name]
    expected: dict[str, list[Tensor]] = {"layer": [], "attention": [], "mlp": [], "head": []}

    def silenced(layer: Any, *names: str) -> Tensor:
        hooks = [layer.get_submodule(name).register_forward_hook(zero) for name in names]
        # the one linear layer between TimeSformer's attention over time and its residual path
        if hasattr(layer, "temporal_dense") and projections[0] in names:
            hooks.append(layer.temporal_dense.register_forward_hook(zero))
        return hooked(theirs, shown, *hooks)

    for layer in layers(theirs):
        expected["layer"].append(silenced(layer, *projections, last))
        expected["attention"].append(silenced(layer, *projections))
        expected["mlp"].append(silenced(layer, last))
        for name in projections:
            projection = layer.get_submodule(name)
            for head in range(4):

                def without(_: Any, inputs: Any, head: int = head) -> Tensor:
                    heads = inputs[0].clone().unflatten(-1, (4, -1))
                    heads[..., head, :] = 0
                    return heads.flatten(-2)

                hook = projection.register_forward_pre_hook(without)
                expected["head"].append(hooked(theirs, shown, hook))
    for scope, of_hooks in expected.items():
        found = ablate(ours, shown, scope)
        assert len(found.units) == len(of_hooks)
        torch.testing.assert_close(found.ablated, torch.stack(of_hooks), atol=1e-5, rtol=1e-5)
        assert (found.ablated - found.full).abs().amax((1, 2)).min() > 1e-4


def test_maps_are_of_transformers_attention_weights(pair: Any) -> None:
    """Against ``output_attentions``, where all tokens attend to all."""
    theirs, ours, _ = pair
    if ours.spec.name in ("timesformer", "videoprism"):
        pytest.skip("attends within groups of tokens")
    shown = clips()
    with torch.no_grad():
        weights = theirs(shown.transpose(1, 2), output_attentions=True).attentions
    units = units_of(ours, "head")
    for unit, found in attention_maps(ours, shown, units).items():
        patches = found.tokens[0].numel()
        seen = weights[unit.layer][:, unit.number, -patches:, -patches:].mean(1)
        torch.testing.assert_close(found.tokens.flatten(1), seen, atol=1e-6, rtol=1e-4)


def test_flops_fall_by_what_a_layer_has(pair: Any) -> None:
    """Counted by hand: every token through every weight, every pair of tokens twice."""
    _, ours, _ = pair
    if ours.spec.name == "timesformer":
        pytest.skip("is our own")
    shown = clips()[:1]
    full, tokens = count_flops(ours, shown), ours.embed(shown)
    (frames, height, width), (count, dim) = tokens.grid, tokens.x.shape[1:]
    pairs = {
        SpaceAttention: frames * (height * width) ** 2,
        TimeAttention: height * width * frames**2,
        HubAttention: count**2,
    }
    for block in ours.blocks:
        weights = sum(p.numel() for p in block.branches.parameters() if p.dim() == 2)
        attention = pairs[type(block.branches["attention"])] * dim
        fallen = full - count_flops(drop_layers(ours, [block.index]), shown)
        assert fallen == 2 * count * weights + 2 * 2 * attention


# --- loading --------------------------------------------------------------------------------------


def test_another_number_of_classes(pair: Any) -> None:
    theirs, ours, path = pair
    with pytest.warns(UserWarning, match="classifier of width 5, the model one of width 7"):
        found = build_model("hub", num_classes=7, weights=path).eval()
    assert found.class_names is None
    assert found(clips()).shape == (2, 7)
    found.head = ours.head
    assert_same(found, theirs, clips())


def test_classes_go_by_name(pair: Any) -> None:
    _, ours, path = pair
    model = build_model("hub", weights=path).eval()
    order = [3, 0, 4, 1, 2]
    model.order_classes([CLASSES[i] for i in order])
    with torch.no_grad():
        torch.testing.assert_close(model(clips()), ours(clips())[:, order])
    model.order_classes(["others", *CLASSES[1:]])
    assert model.class_names == tuple(CLASSES[i] for i in order)


def test_a_checkpoint_needs_no_directory(pair: Any, tmp_path: Path) -> None:
    theirs, _, path = pair
    shutil.copytree(path, tmp_path / "copy")
    model = build_model("hub", weights=tmp_path / "copy").eval()
    smaller = drop_units(model, "1,2.3")
    for each in (model, smaller):
        VideoClassifier(each, CLASSES, {}).save(tmp_path / f"{len(each.blocks)}.ckpt")
    shutil.rmtree(tmp_path / "copy")
    assert_same(VideoClassifier.load(tmp_path / f"{len(model.blocks)}.ckpt").model, theirs, clips())
    loaded = VideoClassifier.load(tmp_path / f"{len(smaller.blocks)}.ckpt").model
    assert loaded.dropped == (Unit(1), Unit(2, number=3))
    with torch.no_grad():
        torch.testing.assert_close(loaded(clips()), smaller(clips()), atol=0, rtol=0)


def test_on_the_meta_device_nothing_is_read(pair: Any, tmp_path: Path) -> None:
    _, ours, path = pair
    (tmp_path / "config.json").write_text((path / "config.json").read_text())
    with torch.device("meta"):
        model = build_model(ours.spec.name, num_classes=3, weights=tmp_path)
    assert len(model.blocks) == len(ours.blocks)
    assert {p.device.type for p in model.parameters()} == {"meta"}


def test_a_model_that_was_only_pre_trained(tmp_path: Path) -> None:
    theirs = original("videomae")
    config = theirs.config
    config.decoder_hidden_size, config.decoder_num_attention_heads = 16, 2
    config.decoder_num_hidden_layers, config.decoder_intermediate_size = 1, 16
    base = transformers.VideoMAEForPreTraining(config)
    base.videomae.load_state_dict(theirs.videomae.state_dict())
    with (
        pytest.warns(UserWarning, match=r"not loaded is decoder\.decoder_layers\.0"),
        pytest.warns(UserWarning, match="has no classifier: what follows the last layer is init"),
    ):
        ours = build_model("hub", num_classes=5, weights=saved(base, tmp_path / "mae")).eval()
    assert ours.class_names is None
    ours.norm, ours.head = theirs.fc_norm, theirs.classifier
    assert_same(ours, theirs, clips())

    theirs = original("vjepa2")
    with pytest.warns(UserWarning, match="has no classifier"):
        ours = build_model("hub", num_classes=5, weights=saved(theirs.vjepa2, tmp_path / "jepa"))
    ours.head_pool, ours.head = theirs.pooler, theirs.classifier
    assert_same(ours.eval(), theirs, clips())


def test_positions_are_interpolated_for_another_size(tmp_path: Path) -> None:
    """A table that is linear over time and space stays so; the class token's row stays as it is."""
    theirs = original("vivit", frames=8, size=64)
    t, h, w = torch.meshgrid(*(torch.arange(n) + 0.5 for n in (4, 8, 8)), indexing="ij")
    ramp = (t / 4 + h / 8 - w / 8).flatten()
    table = theirs.vivit.embeddings.position_embeddings
    table.data[0, 1:] = ramp[:, None].expand(-1, table.shape[-1])
    ours = build_model("hub", num_frames=4, image_size=32, weights=saved(theirs, tmp_path))
    found = ours.embeddings.position_embeddings
    t, h, w = torch.meshgrid(*(torch.arange(n) + 0.5 for n in (2, 4, 4)), indexing="ij")
    torch.testing.assert_close(found[0, 1:, 0], (t / 2 + h / 4 - w / 4).flatten())
    torch.testing.assert_close(found[:, 0], table[:, 0])
    assert ours.eval()(clips()).shape == (2, 5)


def test_half_precision_weights_become_single(tmp_path: Path) -> None:
    theirs = original("vivit").half()
    ours = build_model("hub", weights=saved(theirs, tmp_path)).eval()
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    assert_same(ours, theirs.float(), clips())


# --- the hub --------------------------------------------------------------------------------------


COMMIT = "4f2a9c1d" * 5


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory in which the package huggingface_hub looks for what it has fetched; no network.

    ``somebody/model`` is there, and ``main`` and ``v1`` are one commit of it.
    """
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    model = tmp_path / "cache" / "models--somebody--model"
    (model / "refs").mkdir(parents=True)
    for name in ("main", "v1"):
        (model / "refs" / name).write_text(COMMIT)
    monkeypatch.chdir(tmp_path)
    return model / "snapshots" / COMMIT


@pytest.mark.parametrize("revision", [None, "v1", COMMIT])
def test_an_id_and_its_revision(pair: Any, hub: Path, revision: str | None) -> None:
    theirs, _, path = pair
    shutil.copytree(path, hub)
    ours = build_model("hub", weights="somebody/model", revision=revision).eval()
    assert_same(ours, theirs, clips())
    source = Source("somebody/model", revision)
    assert source.clip_settings().image_size == SIZE
    assert source.pinned() == Source("somebody/model", COMMIT)


def test_all_files_are_of_one_commit_and_no_others_are_fetched(
    pair: Any, monkeypatch: pytest.MonkeyPatch, hub: Path
) -> None:
    """Also if somebody pushes to the branch meanwhile."""
    shutil.copytree(pair[2], hub)
    asked = []

    def fetch(name: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((name, revision, *allow_patterns))
        return str(hub)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    build_model("hub", weights="somebody/model", revision="main")
    assert asked == [
        ("somebody/model", "main", "*.json"),
        ("somebody/model", COMMIT, "*.json"),
        ("somebody/model", COMMIT, "*.json", "*.safetensors"),
    ]


def refused(**arguments: Any) -> str:
    with pytest.raises(InputError) as error:
        build_model("hub", **arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_cannot_be_loaded_is_refused(
    pair: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, ours, path = pair
    assert "is a directory and has none" in refused(weights=path, revision="main")
    other = "vivit" if ours.spec.name != "vivit" else "videomae"
    with pytest.raises(InputError, match=f"holds a {ours.spec.name}, and the model is {other}"):
        build_model(other, weights=path)
    shutil.copytree(path, tmp_path / "bare")
    (tmp_path / "bare/model.safetensors").unlink()
    assert "holds no weights in safetensors" in refused(weights=tmp_path / "bare")
    (tmp_path / "bare/model.safetensors").write_bytes(b"nothing")
    assert "cannot be read" in refused(weights=tmp_path / "bare")
    (tmp_path / "bare/config.json").write_text("{")
    assert "is no JSON" in refused(weights=tmp_path / "bare")
    (tmp_path / "bare/config.json").write_text(json.dumps({"model_type": "bert"}))
    assert "is a model of type bert; those for videos are" in refused(weights=tmp_path / "bare")
    (tmp_path / "bare/config.json").unlink()
    assert "holds no config.json" in refused(weights=tmp_path / "bare")


def test_names_that_are_nothing(hub: Path, tmp_path: Path) -> None:
    assert "model.weights=None is no model of the hub" in refused()
    assert "is no model of the hub" in refused(weights=tmp_path / "none.ckpt")
    line = refused(weights="somebody/else", revision="v1")
    assert "model.weights=somebody/else (revision v1) cannot be had from the hub: " in line
    assert line.endswith("Name an id and a revision that are there, or a directory with its files")
    hub.mkdir(parents=True)
    assert "holds no config.json" in refused(weights="somebody/model")


@pytest.mark.parametrize("missing", ["transformers", "huggingface_hub"])
def test_a_missing_package(missing: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = saved(original("videomae"), tmp_path)
    monkeypatch.setitem(sys.modules, missing, None)
    weights = path if missing == "transformers" else "somebody/model"
    assert "pip install 'vitprune[hub]'" in refused(weights=weights)


def test_transformers_of_another_day(monkeypatch: pytest.MonkeyPatch) -> None:
    # not the module above: transformers puts itself anew into sys.modules when models are made
    monkeypatch.setattr(sys.modules["transformers"], "__version__", "4.57.1")
    with pytest.raises(InputError, match=r"transformers is 4\.57\.1, and .* need 5\.23 or later"):
        build_model("vivit", "tiny")


def test_a_configuration_that_transformers_refuses(tmp_path: Path) -> None:
    path = saved(original("vivit"), tmp_path)
    config = json.loads((path / "config.json").read_text())
    for key, value in {"hidden_size": "wide", "hidden_act": "none"}.items():
        (path / "config.json").write_text(json.dumps({**config, key: value}))
        with pytest.raises(InputError, match="transformers takes no such vivit: "):
            build_model("hub", weights=path)


def test_sizes_that_are_no_multiple() -> None:
    with pytest.raises(InputError, match=r"num_frames=5 is no multiple of VideoMAE's patch size"):
        build_model("videomae", "tiny", num_frames=5)
    with pytest.raises(InputError, match=r"image_size=40 is no multiple of ViViT's patch size, 16"):
        build_model("vivit", "tiny", image_size=40)


def test_a_timesformer_that_is_not_ours(tmp_path: Path) -> None:
    path = saved(original("timesformer", attention_type="space_only"), tmp_path)
    assert "attention_type=divided_space_time" in refused(weights=path)


@pytest.mark.parametrize("name", ["videomae", "vivit", "vjepa2"])
def test_a_tiny_models_patches_begin_with_change(name: str) -> None:
    """A still clip says little through them, whose change says much."""
    model = build_model(name, "tiny")
    weights = [m.weight for m in model.embeddings.modules() if isinstance(m, torch.nn.Conv3d)]
    (weight,) = weights
    assert weight.mean(2).norm() < 0.2 * weight.norm() / weight.shape[2] ** 0.5


# --- clip settings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("processor", "more"),
    [
        ("VideoMAEVideoProcessor", {}),
        ("VivitVideoProcessor", {}),
        ("VivitVideoProcessor", {"do_normalize": False}),
        ("VJEPA2VideoProcessor", {}),
        ("TimesformerVideoProcessor", {"image_mean": [0.45] * 3, "image_std": [0.225] * 3}),
    ],
)
def test_clips_are_normalised_as_the_processor_does(
    processor: str, more: Any, tmp_path: Path
) -> None:
    saved(original("videomae"), tmp_path)
    theirs = getattr(transformers, processor)(crop_size={"height": SIZE, "width": SIZE}, **more)
    (tmp_path / "preprocessor_config.json").unlink()
    theirs.save_pretrained(tmp_path)
    settings = Source(str(tmp_path)).clip_settings()
    assert (settings.num_frames, settings.image_size) == (FRAMES, SIZE)
    frames = np.random.default_rng(0).integers(0, 256, (FRAMES, 3, SIZE, SIZE), dtype=np.uint8)
    expected = theirs(
        torch.from_numpy(frames), return_tensors="pt", do_resize=False, do_center_crop=False
    )
    (expected,) = expected.values()
    mean, std = (torch.tensor(v)[:, None, None] for v in (settings.mean, settings.std))
    found = (torch.from_numpy(frames) / 255 - mean) / std
    torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=1e-5)


def test_a_directory_without_a_processor(tmp_path: Path) -> None:
    saved(original("videomae"), tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match=r"holds none of video_preprocessor_config\.json"):
        Source(str(tmp_path)).clip_settings()


@pytest.mark.parametrize("name", [name for name in NAMES if name != "timesformer"])
def test_an_adapter_is_small(name: str) -> None:
    """At most 40 lines, but for imports and docstrings: the original modules do the work."""
    text = (Path(adapters.__file__).parent / f"{name}.py").read_text()
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        said = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if said or isinstance(node, ast.Import | ast.ImportFrom):
            skipped |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = [line for i, line in enumerate(text.splitlines(), 1) if line and i not in skipped]
    assert 20 < len(lines) <= 40


def test_nothing_is_warned_of_where_all_is_well(pair: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_model("hub", weights=pair[2])
