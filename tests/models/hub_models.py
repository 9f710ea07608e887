"""Small models of transformers' five classes for videos, and their directories."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForVideoClassification

SMALL: dict[str, dict[str, Any]] = {
    "timesformer": {"num_hidden_layers": 3, "intermediate_size": 128, "patch_size": 8},
    "videomae": {"num_hidden_layers": 3, "intermediate_size": 80, "patch_size": 8},
    "vivit": {"num_hidden_layers": 3, "intermediate_size": 80, "tubelet_size": [2, 8, 8]},
    "vjepa2": {
        "num_hidden_layers": 3, "mlp_ratio": 2, "patch_size": 8, "num_pooler_layers": 2,
        "pred_hidden_size": 16, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1,
    },
    "videoprism": {
        "num_spatial_layers": 2, "num_temporal_layers": 2, "intermediate_size": 80,
        "tubelet_size": [1, 8, 8],
    },
}  # fmt: skip
"""By our names."""
NAMES = tuple(SMALL)
TYPES = {"videoprism": "videoprism_vision_model"}
CLASSES = ("drink", "text", "phone", "talk", "turn")


def original(name: str, frames: int = 4, size: int = 32, **more: Any) -> Any:
    """A model of transformers in which every parameter matters."""
    own = ("frames_per_clip", "crop_size") if name == "vjepa2" else ("num_frames", "image_size")
    values = {
        "hidden_size": 32, "num_attention_heads": 4, "attn_implementation": "eager",
        "id2label": dict(enumerate(CLASSES)), "label2id": {c: i for i, c in enumerate(CLASSES)},
        **dict(zip(own, (frames, size), strict=True)), **SMALL[name], **more,
    }  # fmt: skip
    model = AutoModelForVideoClassification.from_config(
        AutoConfig.for_model(TYPES.get(name, name), **values)
    )
    return shaken(model)


def shaken(model: nn.Module) -> Any:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def saved(model: Any, path: Path, size: int = 32, mean: Sequence[float] = (0.5, 0.4, 0.3)) -> Path:
    """The directory that a user has of a model: weights, configuration, processor."""
    model.save_pretrained(path)
    processor = {
        "do_center_crop": True, "crop_size": {"height": size, "width": size},
        "size": {"shortest_edge": size + 8}, "image_mean": list(mean),
        "image_std": [0.2, 0.25, 0.3],
    }  # fmt: skip
    (path / "preprocessor_config.json").write_text(json.dumps(processor))
    return path


def logits(model: Any, clips: Tensor, **how: Any) -> Tensor:
    """transformers' own forward of clips [B, 3, T, H, W]."""
    with torch.no_grad():
        return model(clips.transpose(1, 2), **how).logits.flatten(1)


def layers(model: Any) -> list[Any]:
    """Its layers, in order of execution."""
    return [
        module
        for name, module in model.named_modules()
        if type(module).__name__
        in ("TimesformerLayer", "VideoMAELayer", "VivitLayer", "VJEPA2Layer", "VideoPrismLayer")
        and "predictor" not in name
    ]


PARTS = {
    "timesformer": (("temporal_attention.output.dense", "attention.output.dense"), "output.dense"),
    "videomae": (("attention.output.dense",), "output.dense"),
    "vivit": (("attention.o_proj",), "mlp.fc2"),
    "vjepa2": (("attention.proj",), "mlp.fc2"),
    "videoprism": (("attention.o_proj",), "mlp.fc2"),
}
"""In a layer: the output projections of its attentions, and the last linear layer of its MLP."""

transformers.logging.disable_progress_bar()
