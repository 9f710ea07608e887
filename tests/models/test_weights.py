"""Every published format, with its exact keys and shapes, gives the logits of its original.

The generators below write the keys and shapes of the official repositories' models, derived from
their code; torchvision's, transformers' and timm's come from those libraries.
"""

from __future__ import annotations

import pickle
import re
import warnings
from math import prod
from pathlib import Path
from unittest.mock import patch
from urllib.error import URLError

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import video as torchvision_video
from torchvision.models.video.swin_transformer import SwinTransformer3d
from transformers import TimesformerConfig, TimesformerForVideoClassification

from vitprune.errors import InputError
from vitprune.models import VideoTransformer, build_model, timesformer
from vitprune.models.chain import ModelSpec
from vitprune.models.dropping import drop_layers
from vitprune.models.weights import load_weights
from vitprune.models.weights.download import download
from vitprune.training import VideoClassifier

Shapes = dict[str, tuple[int, ...]]
State = dict[str, Tensor]


# --- the official repositories' models: key -> shape ---------------------------------------------


def layer_norm(key: str, dim: int) -> Shapes:
    return {f"{key}.weight": (dim,), f"{key}.bias": (dim,)}


def linear(key: str, dim: int, out: int) -> Shapes:
    return {f"{key}.weight": (out, dim), f"{key}.bias": (out,)}


def official_timesformer(
    dim: int = 768,
    frames: int = 8,
    grid: int = 14,
    classes: int = 400,
    attention: str = "divided_space_time",
) -> Shapes:
    """facebookresearch/TimeSformer, timesformer/models/vit.py."""
    shapes: Shapes = {
        "cls_token": (1, 1, dim),
        "pos_embed": (1, 1 + grid**2, dim),
        "patch_embed.proj.weight": (dim, 3, 16, 16),
        "patch_embed.proj.bias": (dim,),
        **layer_norm("norm", dim),
        **linear("head", dim, classes),
    }
    if attention != "space_only":
        shapes["time_embed"] = (1, frames, dim)
    for i in range(12):
        block = f"blocks.{i}"
        shapes |= layer_norm(f"{block}.norm1", dim) | layer_norm(f"{block}.norm2", dim)
        shapes |= linear(f"{block}.attn.qkv", dim, 3 * dim) | linear(f"{block}.attn.proj", dim, dim)
        shapes |= linear(f"{block}.mlp.fc1", dim, 4 * dim) | linear(
            f"{block}.mlp.fc2", 4 * dim, dim
        )
        if attention == "divided_space_time":
            shapes |= layer_norm(f"{block}.temporal_norm1", dim)
            shapes |= linear(f"{block}.temporal_attn.qkv", dim, 3 * dim)
            shapes |= linear(f"{block}.temporal_attn.proj", dim, dim)
            shapes |= linear(f"{block}.temporal_fc", dim, dim)
    return {f"model.{key}": shape for key, shape in shapes.items()}


def official_swin(
    dim: int = 96,
    depths: tuple[int, ...] = (2, 2, 6, 2),
    heads: tuple[int, ...] = (3, 6, 12, 24),
    window: tuple[int, int, int] = (8, 7, 7),
    norm: str = "norm",
    classes: int = 400,
) -> Shapes:
    """SwinTransformer/Video-Swin-Transformer, mmaction/models/backbones/swin_transformer.py.

    MMAction2 1.x, mmaction/models/backbones/swin.py, differs in ``norm``: norm3.
    """
    shapes: Shapes = {
        "backbone.patch_embed.proj.weight": (dim, 3, 2, 4, 4),
        "backbone.patch_embed.proj.bias": (dim,),
        **layer_norm("backbone.patch_embed.norm", dim),
    }
    table, tokens = prod(2 * w - 1 for w in window), prod(window)
    for stage, depth in enumerate(depths):
        for i in range(depth):
            block = f"backbone.layers.{stage}.blocks.{i}"
            shapes |= layer_norm(f"{block}.norm1", dim) | layer_norm(f"{block}.norm2", dim)
            shapes[f"{block}.attn.relative_position_bias_table"] = (table, heads[stage])
            shapes[f"{block}.attn.relative_position_index"] = (tokens, tokens)
            shapes |= linear(f"{block}.attn.qkv", dim, 3 * dim)
            shapes |= linear(f"{block}.attn.proj", dim, dim)
            shapes |= linear(f"{block}.mlp.fc1", dim, 4 * dim)
            shapes |= linear(f"{block}.mlp.fc2", 4 * dim, dim)
        if stage < len(depths) - 1:
            merging = f"backbone.layers.{stage}.downsample"
            shapes[f"{merging}.reduction.weight"] = (2 * dim, 4 * dim)
            shapes |= layer_norm(f"{merging}.norm", 4 * dim)
            dim *= 2
    return shapes | layer_norm(f"backbone.{norm}", dim) | linear("cls_head.fc_cls", dim, classes)


def pyslowfast_mvit(
    variant: str, *, frames: int = 16, size: int = 224, classes: int = 400
) -> Shapes:
    """facebookresearch/SlowFast, slowfast/models/{video_model_builder,attention}.py.

    With configs/Kinetics/MVIT_B_16x4_CONV.yaml (v1_b; v1_b_2021 is that of commit e04fba5, of
    which the file in its model zoo is) or MVITv2_S_16x4.yaml (v2_s).
    """
    version = int(variant[1])
    dim, heads, grid = 96, 1, [frames // 2, size // 4, size // 4]
    stride_kv = [1, 8, 8]
    shapes: Shapes = {
        "cls_token": (1, 1, dim),
        "patch_embed.proj.weight": (dim, 3, 3, 7, 7),
        "patch_embed.proj.bias": (dim,),
    }
    if version == 1:  # SEP_POS_EMBED
        shapes["pos_embed_spatial"] = (1, grid[1] * grid[2], dim)
        shapes["pos_embed_temporal"] = (1, grid[0], dim)
        shapes["pos_embed_class"] = (1, 1, dim)
    for i in range(16):
        block = f"blocks.{i}"
        stride_q = 2 if i in (1, 3, 14) else 1
        stride_kv = [
            max(s // q, 1) for s, q in zip(stride_kv, (1, stride_q, stride_q), strict=True)
        ]
        heads *= 2 if i in (1, 3, 14) else 1
        if version == 2:  # DIM_MUL_IN_ATT
            out = attention = dim * (2 if i in (1, 3, 14) else 1)
        else:
            out, attention = dim * (2 if i + 1 in (1, 3, 14) else 1), dim
        width = attention // heads
        shapes |= layer_norm(f"{block}.norm1", dim) | layer_norm(f"{block}.norm2", attention)
        shapes |= linear(f"{block}.attn.qkv", dim, 3 * attention)
        shapes |= linear(f"{block}.attn.proj", attention, attention)
        pools = "q" if version == 2 or stride_q > 1 else ""
        pools += "kv" if max(stride_kv) > 1 or variant != "v1_b_2021" else ""
        for pooled in pools:
            shapes[f"{block}.attn.pool_{pooled}.weight"] = (width, 1, 3, 3, 3)
            shapes |= layer_norm(f"{block}.attn.norm_{pooled}", width)
        if version == 2:
            side = 2 * max(grid[1] // stride_q, grid[1] // stride_kv[1]) - 1
            shapes[f"{block}.attn.rel_pos_h"] = shapes[f"{block}.attn.rel_pos_w"] = (side, width)
            shapes[f"{block}.attn.rel_pos_t"] = (2 * grid[0] - 1, width)
        shapes |= linear(f"{block}.mlp.fc1", attention, 4 * attention)
        shapes |= linear(f"{block}.mlp.fc2", 4 * attention, out)
        if dim != out:
            shapes |= linear(f"{block}.proj", dim, out)
        dim, grid = out, [grid[0], grid[1] // stride_q, grid[2] // stride_q]
    return shapes | layer_norm("norm", dim) | linear("head.projection", dim, classes)


# --- what they are called by an implementation that is here to compare with ----------------------


def renamed(state: State, rules: dict[str, str]) -> State:
    def rename(key: str) -> str:
        for pattern, replacement in rules.items():
            key = re.sub(pattern, replacement, key)
        return key

    return {rename(key): value for key, value in state.items()}


def to_transformers(state: State) -> State:
    """As transformers' convert_timesformer_to_pytorch.py has it."""
    return renamed(
        state,
        {
            r"^model\.": "",
            r"^cls_token": "timesformer.embeddings.cls_token",
            r"^pos_embed": "timesformer.embeddings.position_embeddings",
            r"^time_embed": "timesformer.embeddings.time_embeddings",
            r"^patch_embed\.proj": "timesformer.embeddings.patch_embeddings.projection",
            r"^norm\.": "timesformer.layernorm.",
            r"^head\.": "classifier.",
            r"^blocks": "timesformer.encoder.layer",
            r"temporal_attn\.qkv": "temporal_attention.attention.qkv",
            r"temporal_attn\.proj": "temporal_attention.output.dense",
            r"temporal_norm1": "temporal_layernorm",
            r"temporal_fc": "temporal_dense",
            r"\.attn\.qkv": ".attention.attention.qkv",
            r"\.attn\.proj": ".attention.output.dense",
            r"norm1": "layernorm_before",
            r"norm2": "layernorm_after",
            r"mlp\.fc1": "intermediate.dense",
            r"mlp\.fc2": "output.dense",
        },
    )


def swin_to_torchvision(state: State) -> State:
    return renamed(
        state,
        {
            r"^backbone\.layers\.0\.blocks": "features.0",
            r"^backbone\.layers\.1\.blocks": "features.2",
            r"^backbone\.layers\.2\.blocks": "features.4",
            r"^backbone\.layers\.3\.blocks": "features.6",
            r"^backbone\.layers\.0\.downsample": "features.1",
            r"^backbone\.layers\.1\.downsample": "features.3",
            r"^backbone\.layers\.2\.downsample": "features.5",
            r"^backbone\.patch_embed": "patch_embed",
            r"^backbone\.norm3?\.": "norm.",
            r"mlp\.fc1": "mlp.0",
            r"mlp\.fc2": "mlp.3",
            r"^cls_head\.fc_cls": "head",
        },
    )


def mvit_to_torchvision(state: State) -> State:
    """As https://github.com/pytorch/vision/pull/6373 has it."""
    squeezed = {
        key: value.squeeze(0) if key.startswith("pos_embed") else value
        for key, value in state.items()
    }
    for key in {"cls_token", "pos_embed_class"} & squeezed.keys():
        squeezed[key] = squeezed[key].flatten()
    return renamed(
        squeezed,
        {
            r"^patch_embed\.proj": "conv_proj",
            r"^cls_token": "pos_encoding.class_token",
            r"^pos_embed_(\w+)": r"pos_encoding.\1_pos",
            r"(blocks\.\d+)\.proj\.": r"\1.project.",
            r"attn\.proj\.": "attn.project.0.",
            r"attn\.pool_(.)\.": r"attn.pool_\1.pool.",
            r"attn\.norm_(.)\.": r"attn.pool_\1.norm_act.0.",
            r"mlp\.fc1": "mlp.0",
            r"mlp\.fc2": "mlp.3",
            r"^head\.projection": "head.1",
        },
    )


# --- helpers --------------------------------------------------------------------------------------


def filled(shapes: Shapes, seed: int = 0) -> State:
    """Random values large enough that every one of them shows in the logits."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        fan_in = prod(shape[1:]) if len(shape) > 1 and key.endswith(".weight") else 4
        state[key] = torch.randn(shape, generator=generator) / fan_in**0.5
        if len(shape) == 1 and key.endswith(".weight"):
            state[key] += 1
    return state


def numbered(shapes: Shapes) -> State:
    """Another number in every tensor; the files are small, whatever the shapes."""
    return {k: torch.tensor(float(i)).expand(s) for i, (k, s) in enumerate(shapes.items())}


def shaken(module: nn.Module) -> nn.Module:
    """Random values in place of initial zeros and ones."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += 0.1 * noise
    return module.eval()


@pytest.fixture
def saved(tmp_path: Path):
    def save(content: object, name: str = "weights.pth") -> Path:
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def clips(frames: int, size: int, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, frames, size, size, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def assert_same_logits(model: nn.Module, reference: nn.Module, x: Tensor) -> None:
    ours = model.eval()(x)
    if isinstance(reference, TimesformerForVideoClassification):
        theirs = reference.eval()(x.transpose(1, 2)).logits
    else:
        theirs = reference.eval()(x)
    assert theirs.std() > 1e-2
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def assert_same_values(model: nn.Module, state: State) -> None:
    """Every tensor of the one is a tensor of the other."""

    def sums(state: State) -> list[float]:
        return sorted(float(value.double().sum()) for value in state.values())

    theirs = {k: v for k, v in state.items() if not k.endswith("relative_position_index")}
    assert sums(model.state_dict()) == sums(theirs)


def refused(model: VideoTransformer, source: Path | str) -> str:
    """The one line with which ``source`` is refused, after seeing that the model is untouched."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InputError) as error:
        load_weights(model, source)
    assert "\n" not in str(error.value)
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key])
    return str(error.value)


WIDTH = timesformer.VARIANTS["tiny"].dim
TINY = {"dim": WIDTH, "grid": 4}
"""An official TimeSformer of the size of our tiny one."""


def transformers_timesformer(frames: int = 8, size: int = 64) -> TimesformerForVideoClassification:
    config = TimesformerConfig(
        image_size=size,
        num_frames=frames,
        hidden_size=WIDTH,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        num_labels=400,
    )
    return TimesformerForVideoClassification(config)


def torchvision_swin() -> nn.Module:
    """torchvision's, of the size of our tiny one."""
    return SwinTransformer3d([2, 4, 4], 16, [2, 2, 18, 2], [1, 2, 4, 8], [4, 4, 4])


def torchvision_mvit(variant: str, frames: int, size: int) -> nn.Module:
    """torchvision's for another input size, which its own functions do not take."""
    with patch.object(torchvision_video.mvit, "_mvit") as build:
        getattr(torchvision_video, f"mvit_{variant.removesuffix('_2021')}")()
    arguments = build.call_args.kwargs
    if variant == "v1_b_2021":
        for layer in arguments["block_setting"][14:]:
            layer.kernel_kv, layer.stride_kv = [], []
    arguments |= {"spatial_size": (size, size), "temporal_size": frames}
    return torchvision_video.mvit._mvit(**arguments)


# --- formats --------------------------------------------------------------------------------------


def test_torchvision_swin(saved):
    reference = shaken(torchvision_swin())
    model = build_model("video_swin", "tiny", weights=saved(reference.state_dict()))
    assert_same_values(model, reference.state_dict())
    assert_same_logits(model, reference, clips(8, 64))


def test_torchvision_swin_with_a_rebuilt_classifier(saved, tmp_path):
    """LayerNorm, Dropout, Linear, as in a model for 30 frames and 5 classes of driving."""
    reference = torchvision_swin()
    width = reference.head.in_features
    head = nn.Sequential(nn.LayerNorm(width), nn.Dropout(0.3), nn.Linear(width, 5))
    reference.head = head
    path = saved(shaken(reference).state_dict())
    model = build_model("video_swin", "tiny", num_classes=5, num_frames=30, weights=path)
    assert_same_logits(model, reference, clips(30, 64))
    VideoClassifier(model, list("abcde"), {}).save(tmp_path / "own.ckpt")
    assert_same_logits(VideoClassifier.load(tmp_path / "own.ckpt").model, reference, clips(30, 64))
    with pytest.warns(UserWarning, match="classifier of width 5, the model one of width 7"):
        other = build_model("video_swin", "tiny", num_classes=7, weights=path)
    assert torch.equal(other.head_norm.weight, head[0].weight)
    assert other(clips(30, 64)).shape == (2, 7)


@pytest.mark.parametrize("variant", ["t", "s"])
def test_torchvision_swin_at_its_own_size(saved, variant):
    with torch.device("meta"):
        reference = getattr(torchvision_video, f"swin3d_{variant}")()
    state = numbered({key: value.shape for key, value in reference.state_dict().items()})
    model = build_model("video_swin", variant, weights=saved(state))
    assert_same_values(model, state)


@pytest.mark.parametrize("variant", ["v1_b", "v2_s"])
def test_torchvision_mvit(saved, variant):
    reference = shaken(torchvision_mvit(variant, 8, 64))
    path = saved(reference.state_dict())
    model = build_model("mvit", variant, num_frames=8, image_size=64, weights=path)
    assert_same_values(model, reference.state_dict())
    assert_same_logits(model, reference, clips(8, 64, batch=1))


def test_official_timesformer(saved):
    state = filled(official_timesformer(**TINY))
    path = saved({"epoch": 15, "model_state": state, "optimizer_state": {}, "cfg": "TRAIN: {}"})
    model = build_model("timesformer", "tiny", weights=path)
    assert_same_values(model, state)
    reference = transformers_timesformer()
    reference.load_state_dict(to_transformers(state))
    assert_same_logits(model, reference, clips(8, 64))


@pytest.mark.parametrize("ending", ["bin", "safetensors"])
def test_hub_timesformer(tmp_path, ending):
    reference = shaken(transformers_timesformer())
    if ending == "bin":
        torch.save(reference.state_dict(), path := tmp_path / "pytorch_model.bin")
    else:
        reference.save_pretrained(tmp_path)
        path = tmp_path / "model.safetensors"
    model = build_model("timesformer", "tiny", weights=path)
    assert_same_values(model, reference.state_dict())
    assert_same_logits(model, reference, clips(8, 64))


@pytest.mark.parametrize("wrapper", [None, "model"])
def test_timm_vit_is_where_timesformer_starts(saved, wrapper):
    image_model = shaken(
        VisionTransformer(64, embed_dim=WIDTH, num_heads=4, num_classes=10, norm_layer=None)
    )
    state = image_model.state_dict()
    path = saved({wrapper: state} if wrapper else state)
    model = build_model("timesformer", "tiny", num_classes=10, num_frames=1, weights=path).eval()
    nn.init.zeros_(model.time_embed)
    for block in model.blocks:
        time, space = block.branches["time"], block.branches["space"]
        for part in ("norm", "qkv", "proj"):
            assert torch.equal(getattr(time, part).weight, getattr(space, part).weight)
            assert torch.equal(getattr(time, part).bias, getattr(space, part).bias)
        nn.init.zeros_(time.fc.weight)
        nn.init.zeros_(time.fc.bias)
    # While attention over time has no effect, a clip of one frame is an image.
    x = clips(1, 64)
    with torch.inference_mode():
        torch.testing.assert_close(model(x), image_model(x[:, :, 0]), atol=1e-4, rtol=1e-4)


def test_official_timesformer_and_timm_vit_at_their_own_size(saved):
    model = build_model("timesformer", "base")
    initial = model.blocks[5].branches["time"].fc.weight.clone()
    image_model = timm.create_model("vit_base_patch16_224", num_classes=400)
    state = numbered({key: value.shape for key, value in image_model.state_dict().items()})
    load_weights(model, saved(state))
    assert torch.equal(model.blocks[5].branches["time"].fc.weight, initial)
    assert torch.equal(model.pos_embed, state["pos_embed"])

    state = numbered(official_timesformer())
    assert sum(value.numel() for value in state.values()) == 121_566_352
    load_weights(model, saved({"model_state": state}))
    assert_same_values(model, state)


def test_timm_vit_without_a_classifier(saved):
    state = filled(official_timesformer(**TINY, attention="space_only"))
    state = {key.removeprefix("model."): value for key, value in state.items() if "head" not in key}
    model = build_model("timesformer", "tiny", weights=saved(state))
    assert torch.equal(
        model.blocks[3].branches["space"].qkv.weight, state["blocks.3.attn.qkv.weight"]
    )


@pytest.mark.parametrize("norm", ["norm", "norm3"])
def test_official_swin(saved, norm):
    state = filled(official_swin(16, (2, 2, 18, 2), (1, 2, 4, 8), (4, 4, 4), norm))
    reference = torchvision_swin()
    for key, value in reference.state_dict().items():
        if key.endswith("relative_position_index"):
            block = re.sub(r"features\.(\d+)", lambda m: f"layers.{int(m[1]) // 2}.blocks", key)
            state[f"backbone.{block}"] = value
    model = build_model("video_swin", "tiny", weights=saved({"meta": {}, "state_dict": state}))
    assert_same_values(model, state)
    reference.load_state_dict(swin_to_torchvision(state))
    assert_same_logits(model, reference, clips(8, 64))


@pytest.mark.parametrize(
    ("variant", "size"),
    [
        ("t", (96, (2, 2, 6, 2), (3, 6, 12, 24))),
        ("s", (96, (2, 2, 18, 2), (3, 6, 12, 24))),
        ("b", (128, (2, 2, 18, 2), (4, 8, 16, 32))),
    ],
)
def test_official_swin_at_its_own_size(saved, variant, size):
    state = numbered(official_swin(*size))
    model = build_model("video_swin", variant, weights=saved({"state_dict": state}))
    assert_same_values(model, state)


@pytest.mark.parametrize("variant", ["v1_b", "v1_b_2021", "v2_s"])
def test_pyslowfast_mvit(saved, variant):
    state = filled(pyslowfast_mvit(variant, frames=8, size=64))
    path = saved({"epoch": 200, "model_state": state, "cfg": "TRAIN: {}"})
    model = build_model("mvit", variant, num_frames=8, image_size=64, weights=path)
    assert_same_values(model, state)
    reference = torchvision_mvit(variant, 8, 64)
    reference.load_state_dict(mvit_to_torchvision(state))
    assert_same_logits(model, reference, clips(8, 64, batch=1))


def test_pyslowfast_mvit_of_2021_at_its_own_size(saved):
    state = numbered(pyslowfast_mvit("v1_b_2021"))
    assert_same_values(
        build_model("mvit", "v1_b_2021", weights=saved({"model_state": state})), state
    )


def test_pyslowfast_mvit_of_2021_is_told_from_later_ones(saved):
    state = numbered(pyslowfast_mvit("v1_b_2021"))
    message = refused(build_model("mvit", "v1_b"), saved({"model_state": state}))
    assert message.endswith(
        "holds PySlowFast's MViT v1 of 2021 weights, for the variant v1_b_2021; "
        "the model is mvit v1_b"
    )


@pytest.mark.parametrize("variant", ["v1_b", "v2_s"])
def test_pyslowfast_mvit_at_its_own_size_with_separate_projections(saved, variant):
    state = numbered(pyslowfast_mvit(variant))
    separate = {}
    for key, value in state.items():
        if ".qkv." in key:
            for name, part in zip("qkv", value.chunk(3), strict=True):
                separate[key.replace(".qkv.", f".{name}.")] = part + "qkv".index(name)
        else:
            separate[key] = value
    model = build_model("mvit", variant, weights=saved({"model_state": separate}))
    for i, block in enumerate(model.blocks):
        parts = block.branches["attention"].qkv.weight.detach().chunk(3)
        first = float(state[f"blocks.{i}.attn.qkv.weight"][0, 0])
        assert [float(part.min()) for part in parts] == [first, first + 1, first + 2]
        assert [float(part.max()) for part in parts] == [first, first + 1, first + 2]


def own_checkpoint(model: VideoTransformer, **description: object) -> dict[str, object]:
    spec = {"name": model.spec.name, "variant": model.spec.variant}
    return {
        "state_dict": {f"model.{key}": value for key, value in model.state_dict().items()},
        "vitprune": {"spec": spec, "dropped": [*map(str, model.dropped)], **description},
    }


@pytest.mark.parametrize("name", ["timesformer", "video_swin", "mvit", "vivit"])
def test_own_checkpoint(saved, name):
    reference = shaken(build_model(name, "tiny", num_classes=7))
    path = saved(own_checkpoint(reference), "best.ckpt")
    model = build_model(name, "tiny", num_classes=7, weights=path)
    assert_same_logits(model, reference, clips(8, 64))


def test_own_bare_state_dict_in_safetensors(tmp_path):
    reference = shaken(build_model("mvit", "tiny", num_classes=7))
    save_file(reference.state_dict(), tmp_path / "weights.safetensors")
    path = str(tmp_path / "weights.safetensors")
    model = build_model("mvit", "tiny", num_classes=7, weights=path)
    assert_same_logits(model, reference, clips(8, 64))


def test_own_pruned_checkpoint_is_refused_naming_the_units(saved):
    model = build_model("mvit", "tiny")
    path = saved(own_checkpoint(drop_layers(model, [3, 7])), "pruned.ckpt")
    assert "it lacks layers 3, 7, the model nothing" in refused(model, path)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module.model._orig_mod."])
def test_keys_may_have_the_prefixes_of_wrapped_models(saved, prefix):
    reference = shaken(build_model("mvit", "tiny"))
    state = {prefix + key: value for key, value in reference.state_dict().items()}
    model = build_model("mvit", "tiny", weights=saved(state))
    assert_same_values(model, reference.state_dict())


# --- another input size ---------------------------------------------------------------------------


def test_timesformer_positions_are_interpolated_as_by_transformers(saved):
    reference = shaken(transformers_timesformer())
    path = saved(reference.state_dict())
    model = build_model("timesformer", "tiny", num_frames=12, image_size=96, weights=path)
    assert model.time_embed.shape == (1, 12, WIDTH)
    assert model.pos_embed.shape == (1, 37, WIDTH)
    reference.config.num_frames, reference.config.image_size = 12, 96
    assert_same_logits(model, reference, clips(12, 96))


def test_mvit_v2_positions_are_interpolated_as_by_torchvision(saved):
    small = shaken(torchvision_mvit("v2_s", 4, 64))
    path = saved(small.state_dict())
    model = build_model("mvit", "v2_s", num_frames=8, image_size=96, weights=path)
    reference = torchvision_mvit("v2_s", 8, 96)
    # torchvision interpolates in the forward pass, whatever the size of the tables.
    for block, other in zip(reference.blocks, small.blocks, strict=True):
        for name in ("rel_pos_h", "rel_pos_w", "rel_pos_t"):
            setattr(block.attn, name, getattr(other.attn, name))
    reference.load_state_dict(small.state_dict())
    assert_same_logits(model, reference, clips(8, 96, batch=1))


def test_mvit_v1_positions_are_interpolated_as_by_pyslowfast(saved):
    state = filled(pyslowfast_mvit("v1_b", frames=8, size=64))
    path = saved({"model_state": state})
    model = build_model("mvit", "v1_b", num_frames=16, image_size=96, weights=path)
    # slowfast/utils/checkpoint.py, load_checkpoint
    space = state["pos_embed_spatial"].reshape(1, 16, 16, -1).permute(0, 3, 1, 2)
    space = F.interpolate(space, size=(24, 24), mode="bicubic").reshape(1, -1, 24 * 24)
    time = F.interpolate(state["pos_embed_temporal"].permute(0, 2, 1), size=8, mode="linear")
    torch.testing.assert_close(model.pos_encoding.spatial_pos, nn.Parameter(space[0].T))
    torch.testing.assert_close(model.pos_encoding.temporal_pos, nn.Parameter(time[0].T))
    assert torch.equal(model.pos_encoding.class_pos, state["pos_embed_class"].flatten())


@pytest.mark.parametrize("window", [(16, 7, 7), (8, 5, 5), (3, 12, 12)])
def test_swin_biases_are_interpolated_for_another_window(saved, window):
    state = numbered(official_swin(window=window))
    frames, height, width = (2 * w - 1 for w in window)
    key = "backbone.layers.{}.blocks.1.attn.relative_position_bias_table"
    # One table says only how far apart in time, one only how far apart in space (by its sign).
    time = torch.linspace(-1, 1, frames)[:, None, None].expand(-1, height, width)
    space = torch.arange(-(width // 2), width // 2 + 1).sign().float().expand(frames, height, -1)
    for stage, pattern in enumerate([time, space]):
        heads = state[key.format(stage)].shape[1]
        state[key.format(stage)] = pattern.reshape(-1, 1).repeat(1, heads)
    model = build_model("video_swin", "t", weights=saved({"state_dict": state}))
    tables = [
        model.blocks[i].branches["attention"].relative_position_bias_table.view(15, 13, 13, -1)
        for i in (1, 3)
    ]
    by_time, by_space = tables[0][:, 0, 0, 0], tables[1][0, 0, :, 0]
    torch.testing.assert_close(tables[0], by_time[:, None, None, None].expand_as(tables[0]))
    torch.testing.assert_close(tables[1], by_space[None, None, :, None].expand_as(tables[1]))
    assert (by_time.diff() >= 0).all()
    torch.testing.assert_close(by_time, -by_time.flip(0))
    torch.testing.assert_close(by_space, -by_space.flip(0))
    assert by_space[12] > 0.9


# --- what does not fit ----------------------------------------------------------------------------


def test_classifier_of_another_width_starts_anew(saved):
    state = filled(official_timesformer(**TINY, classes=174))
    with pytest.warns(UserWarning, match=r"width 174.*width 101"):
        model = build_model("timesformer", "tiny", num_classes=101, weights=saved(state))
    assert model.head.weight.shape == (101, WIDTH)
    assert torch.equal(model.norm.weight, state["model.norm.weight"])


def test_no_warning_without_need(saved):
    state = filled(official_timesformer(**TINY))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_model("timesformer", "tiny", weights=saved(state))


def test_every_other_mismatch_is_listed(saved):
    state = filled(official_timesformer(**TINY))
    del state["model.norm.bias"]
    state["model.extra"] = torch.zeros(1)
    state["model.blocks.0.attn.proj.bias"] = torch.zeros(3)
    message = refused(build_model("timesformer", "tiny"), saved({"model_state": state}))
    assert "1 missing: norm.bias" in message
    assert "1 unexpected: extra" in message
    assert (
        f"1 of another shape: blocks.0.branches.space.proj.bias [3] instead of [{WIDTH}]" in message
    )


def test_a_long_list_of_mismatches_is_cut(saved):
    message = refused(
        build_model("video_swin", "s"), saved({"state_dict": numbered(official_swin())})
    )
    assert "do not fit video_swin s" in message
    assert re.search(r"\d+ missing: (\S+, ){3}\S+ and \d+ more", message)


@pytest.mark.parametrize(
    ("name", "shapes", "looks_like"),
    [
        ("mvit", official_swin(), "for video_swin; the model is mvit tiny"),
        ("video_swin", pyslowfast_mvit("v2_s"), "for mvit; the model is video_swin tiny"),
        ("mvit", official_timesformer(**TINY), "for timesformer; the model is mvit tiny"),
    ],
    ids=["swin", "mvit", "timesformer"],
)
def test_another_architecture_is_named(saved, name, shapes, looks_like):
    state = {key: torch.zeros(1) for key in shapes}
    assert looks_like in refused(build_model(name, "tiny"), saved(state))


def test_another_model_of_our_own_is_named(saved):
    path = saved(own_checkpoint(build_model("mvit", "tiny")))
    message = refused(build_model("timesformer", "tiny"), path)
    assert "of mvit tiny; the model is timesformer tiny" in message


@pytest.mark.parametrize("attention", ["joint_space_time", "space_only"])
@pytest.mark.parametrize("source", ["official", "hub"])
def test_other_attention_types_of_timesformer_are_refused(saved, source, attention):
    state = filled(official_timesformer(**TINY, attention=attention))
    content = {"model_state": state} if source == "official" else to_transformers(state)
    message = refused(build_model("timesformer", "tiny"), saved(content))
    assert attention in message
    assert "divided space-time attention (divST) only" in message


def test_unknown_keys_are_shown_with_the_known_formats(saved):
    path = saved({"layer1.0.conv1.weight": torch.zeros(3), "fc.bias": torch.zeros(3)})
    message = refused(build_model("mvit", "tiny"), path)
    assert "layer1.0.conv1.weight, fc.bias" in message
    assert "PySlowFast's MViT" in message


# --- files that cannot be read --------------------------------------------------------------------


def test_missing_file(tmp_path):
    message = refused(build_model("mvit", "tiny"), tmp_path / "weights.pth")
    assert str(tmp_path / "weights.pth") in message
    assert "there is no such file" in message


@pytest.mark.parametrize("writer", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_truncated_file(tmp_path, writer, part):
    path = tmp_path / "weights.pth"
    state = {f"blocks.{i}.weight": torch.zeros(200) for i in range(20)}
    if writer == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=writer == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    message = refused(build_model("mvit", "tiny"), path)
    assert f"{path} ({int(part * len(whole))} bytes) cannot be read: truncated" in message


def test_text_file(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_text("<html>you need to log in</html>")
    assert "cannot be read" in refused(build_model("mvit", "tiny"), path)


class Settings:
    """Something that is not weights."""


def test_code_in_a_file_is_not_run(saved, tmp_path):
    model = build_model("mvit", "tiny")
    path = saved({"state_dict": {"a": torch.zeros(1)}, "settings": Settings()})
    assert "holds more than weights" in refused(model, path)
    path.write_bytes(pickle.dumps(Settings(), protocol=2))
    refused(model, path)


@pytest.mark.parametrize(
    "content", [{"epoch": 3}, {"state_dict": {}}, {0: torch.zeros(2)}, [1, 2], torch.zeros(2)]
)
def test_no_state_dict(saved, content):
    assert "holds no state dict" in refused(build_model("mvit", "tiny"), saved(content))


# --- kinetics400 ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variant", "file"),
    [
        ("video_swin", "t", "https://download.pytorch.org/models/swin3d_t-7615ae03.pth"),
        ("mvit", "v2_s", "https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth"),
        (
            "timesformer",
            "base",
            "https://huggingface.co/facebook/timesformer-base-finetuned-k400/resolve/main/"
            "pytorch_model.bin",
        ),
    ],
)
def test_kinetics400_without_a_network(monkeypatch, tmp_path, name, variant, file):
    def fail(*args: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)
    with pytest.raises(InputError) as error:
        download(ModelSpec(name, variant, 400, 8, 224))
    message = str(error.value)
    assert "\n" not in message
    assert file in message
    assert "model.weights=FILE" in message
    assert "Name or service not known" in message


@pytest.mark.parametrize(
    ("name", "variant", "digest"),
    [("video_swin", "t", "7615ae03"), ("timesformer", "base", None)],
)
def test_kinetics400_is_fetched_once(monkeypatch, tmp_path, name, variant, digest):
    fetched = []

    def answer(url: str, path: str, hash_prefix: str | None) -> None:
        fetched.append(hash_prefix)
        torch.save({}, path)

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", answer)
    spec = ModelSpec(name, variant, 400, 8, 224)
    path = download(spec)
    assert path.is_file()
    assert path.name in ("swin3d_t-7615ae03.pth", "timesformer-base-finetuned-k400.bin")
    assert download(spec) == path
    assert fetched == [digest]


def test_kinetics400_is_loaded(monkeypatch, tmp_path):
    with torch.device("meta"):
        reference = torchvision_video.swin3d_t()
    state = numbered({key: value.shape for key, value in reference.state_dict().items()})
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda _, to, __: torch.save(state, to))
    model = build_model("video_swin", "t", weights="kinetics400")
    assert_same_values(model, state)


def test_kinetics400_of_a_variant_that_has_none():
    message = refused(build_model("timesformer", "tiny"), "kinetics400")
    assert "none for timesformer tiny" in message
    assert "timesformer base, video_swin t" in message
