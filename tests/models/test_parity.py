"""The architectures against their originals: same weights, same logits."""

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import video as original

from vitprune.models import build_model

Rename = dict[str, str]

# Of our parameter names; the first pattern that matches is taken.
SWIN: Rename = {
    r"before\.0\.merge\.(.*)": r"\1",
    r"attention\.norm\.(.*)": r"norm1.\1",
    r"attention\.(.*)": r"attn.\1",
    r"mlp\.norm\.(.*)": r"norm2.\1",
    r"mlp\.fc1\.(.*)": r"mlp.0.\1",
    r"mlp\.fc2\.(.*)": r"mlp.3.\1",
}
MVIT: Rename = {
    r"attention\.norm\.(.*)": r"norm1.\1",
    r"\w+\.proj_skip\.(.*)": r"project.\1",
    r"attention\.proj\.(.*)": r"attn.project.0.\1",
    r"attention\.(.*)": r"attn.\1",
    r"mlp\.norm\.(.*)": r"norm2.\1",
    r"mlp\.fc1\.(.*)": r"mlp.0.\1",
    r"mlp\.fc2\.(.*)": r"mlp.3.\1",
}
TIMESFORMER: Rename = {
    r"time\.norm\.(.*)": r"temporal_layernorm.\1",
    r"time\.qkv\.(.*)": r"temporal_attention.attention.qkv.\1",
    r"time\.proj\.(.*)": r"temporal_attention.output.dense.\1",
    r"time\.fc\.(.*)": r"temporal_dense.\1",
    r"space\.norm\.(.*)": r"layernorm_before.\1",
    r"space\.qkv\.(.*)": r"attention.attention.qkv.\1",
    r"space\.proj\.(.*)": r"attention.output.dense.\1",
    r"mlp\.norm\.(.*)": r"layernorm_after.\1",
    r"mlp\.fc1\.(.*)": r"intermediate.dense.\1",
    r"mlp\.fc2\.(.*)": r"output.dense.\1",
}


def within_block(name: str, rename: Rename) -> str:
    name = name.removeprefix("branches.")
    for pattern, replacement in rename.items():
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    raise AssertionError(f"no original for {name}")


def swin_name(name: str, depths: tuple[int, ...]) -> str:
    if not name.startswith("blocks."):
        return name
    _, block, rest = name.split(".", 2)
    index, stage = int(block), 0
    while index >= depths[stage]:
        index, stage = index - depths[stage], stage + 1
    if rest.startswith("before."):
        return f"features.{2 * stage - 1}.{within_block(rest, SWIN)}"
    return f"features.{2 * stage}.{index}.{within_block(rest, SWIN)}"


def mvit_name(name: str) -> str:
    if name.startswith("blocks."):
        _, block, rest = name.split(".", 2)
        return f"blocks.{block}.{within_block(rest, MVIT)}"
    return name.replace("head.", "head.1.")


def timesformer_name(name: str) -> str:
    if name.startswith("blocks."):
        _, block, rest = name.split(".", 2)
        return f"timesformer.encoder.layer.{block}.{within_block(rest, TIMESFORMER)}"
    name = name.replace("patch_embed.proj", "patch_embeddings.projection")
    if name.startswith("head."):
        return name.replace("head.", "classifier.")
    if name.startswith("norm."):
        return name.replace("norm.", "timesformer.layernorm.")
    embeddings = {
        "pos_embed": "position_embeddings",
        "time_embed": "time_embeddings",
    }
    return "timesformer.embeddings." + embeddings.get(name, name)


@pytest.fixture(autouse=True)
def uninitialised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Initialising takes longer than running, and every parameter is overwritten anyway."""
    for name in ("trunc_normal_", "kaiming_uniform_", "normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: tensor)


def randomise(model: nn.Module) -> None:
    """Makes every parameter matter, also those that start at zero or one."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() > 1 and "embed" not in name and "rel" not in name:
                parameter.copy_(noise * parameter[0].numel() ** -0.5)
            elif name.endswith("weight"):
                parameter.copy_(1 + 0.3 * noise)
            else:
                parameter.copy_(0.3 * noise)


def assert_same(
    ours: nn.Module,
    theirs: nn.Module,
    rename: Callable[[str], str],
    clips: Tensor,
    forward: Callable[[Tensor], Tensor] | None = None,
) -> None:
    randomise(theirs)
    state = {name: p for name, p in theirs.named_parameters()}
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.data = state.pop(rename(name)).view_as(parameter)
    assert not state, "parameters that we do not have"
    ours.eval(), theirs.eval()
    with torch.no_grad():
        expected = (forward or theirs)(clips)
        actual = ours(clips)
    assert expected.std() > 0.1
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)


def clips(*shape: int) -> Tensor:
    batch, frames, height, width = shape
    return torch.randn(batch, 3, frames, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("variant", "shape"),
    [
        ("t", (1, 32, 224, 224)),
        ("t", (2, 6, 80, 72)),  # padding of patches and of windows
        ("t", (1, 33, 64, 160)),  # windows cut down to the grid along some axes only
        # Deeper and wider, otherwise the same: a quarter of the pixels tells as much.
        ("s", (1, 32, 112, 112)),
        ("b", (1, 32, 112, 112)),
    ],
)
def test_video_swin(variant: str, shape: tuple[int, ...]) -> None:
    ours = build_model("video_swin", variant)
    depths = (2, 2, 6, 2) if variant == "t" else (2, 2, 18, 2)
    theirs = getattr(original, f"swin3d_{variant}")()
    assert_same(ours, theirs, lambda name: swin_name(name, depths), clips(*shape))


@pytest.mark.parametrize(
    ("variant", "batch", "frames", "size"),
    [("v2_s", 1, 16, 224), ("v1_b", 1, 16, 224), ("v2_s", 2, 8, 128), ("v1_b", 2, 6, 96)],
)
def test_mvit(
    variant: str, batch: int, frames: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = build_model("mvit", variant, num_frames=frames, image_size=size)
    # its builders take no size
    monkeypatch.setattr(original.mvit, "_mvit", lambda weights, progress, **config: config)
    config = {"rel_pos_embed": False, "proj_after_attn": False}
    config |= getattr(original, f"mvit_{variant}")()
    theirs = original.MViT(**config | {"spatial_size": (size, size), "temporal_size": frames})
    assert_same(ours, theirs, mvit_name, clips(batch, frames, size, size))


def test_timesformer() -> None:
    batch, frames, size = 2, 5, 64  # nothing in it depends on them but the number of positions
    transformers = pytest.importorskip("transformers")
    config = transformers.TimesformerConfig(num_frames=frames, image_size=size, num_labels=400)
    theirs = transformers.TimesformerForVideoClassification(config)
    assert_same(
        build_model("timesformer", num_frames=frames, image_size=size),
        theirs,
        timesformer_name,
        clips(batch, frames, size, size),
        lambda x: theirs(x.transpose(1, 2)).logits,
    )
