"""Small classifiers, and a bundle of one that all tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from vitprune.deploy import export
from vitprune.models import build_model
from vitprune.models.bridge import Bridge, insert
from vitprune.pruning import drop_layers, drop_units
from vitprune.training import VideoClassifier

CLASSES = ["drink", "phone", "talk"]
CLIPS: dict[str, Any] = {
    "num_frames": 4, "image_size": 32, "sampling": "uniform", "stride": 4,
    "mean": (0.4, 0.45, 0.5), "std": (0.2, 0.225, 0.25),
}  # fmt: skip
FEW: dict[str, tuple[dict[str, Any], int]] = {
    "timesformer": ({"depth": 2}, 0),
    "video_swin": ({"depths": (2, 1), "num_heads": (1, 2), "window": (2, 4, 4)}, 2),
    "mvit": ({"depths": (1, 1)}, 1),
    "videomae": ({}, 0),
    "vivit": ({}, 0),
    "vjepa2": ({}, 0),
    "videoprism": ({}, 0),
}
HUB = ("videomae", "vivit", "vjepa2", "videoprism")
"""Of each architecture a model with windows, shifts and pooling, but few layers; and one of them,
the first of a stage where there are stages."""


HEADS = {
    "timesformer": ["0.time.1", "0.space.2", "1.3"], "video_swin": ["0.0", "2.1"],
    "mvit": ["1.0"], "videomae": ["0.1", "0.3"],
}  # fmt: skip
"""Some of them; where a layer has no other, its attention keeps a bias."""


@pytest.fixture(scope="session")
def classifier() -> Callable[..., VideoClassifier]:
    """``classifier(name, kind)``: ``full``, ``pruned``, ``bridged`` or ``without heads``."""

    def classifier(name: str, kind: str = "full") -> VideoClassifier:
        torch.manual_seed(0)
        config, layer = FEW[name]
        sizes = {key: CLIPS[key] for key in ("num_frames", "image_size")}
        if name in HUB:
            pytest.importorskip("transformers")
            model = build_model(name, "tiny", num_classes=3, **sizes)
            model = drop_layers(model, model.layers[1:-1])
        else:
            model = build_model(name, "tiny", num_classes=3, config=config, **sizes)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        if kind == "without heads":
            model = drop_units(model, HEADS[name])
        elif kind != "full":
            model = drop_layers(model, [layer])
        if kind == "bridged":
            width = model.embed(torch.zeros(1, 3, 4, 32, 32)).x.shape[-1]
            width *= {"video_swin": 2, "mvit": 2}.get(name, 1)
            bridge = Bridge(layer, width, "full")
            with torch.no_grad():
                for parameter in bridge.parameters():
                    parameter.normal_(std=0.1)
            insert(model, bridge)
        return VideoClassifier(model, CLASSES, CLIPS).eval()

    return classifier


@pytest.fixture(scope="session")
def bundle(
    classifier: Callable[..., VideoClassifier], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The directory of a bundle of a pruned MViT, in all formats."""
    for package in ("onnxscript", "onnxruntime", "openvino"):
        pytest.importorskip(package)
    directory = tmp_path_factory.mktemp("deploy") / "bundle"
    one = classifier("mvit", "pruned")
    export(one, directory, ("onnx", "openvino", "torch"), provenance={"top1": 0.5})
    return directory
