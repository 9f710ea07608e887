"""What is exported answers as torch does, whichever model it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vitprune.deploy import Bundle, export
from vitprune.deploy.exporting import TOLERANCE
from vitprune.errors import InputError
from vitprune.training import VideoClassifier

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

Make = Callable[..., VideoClassifier]


def check(bundle: Path, one: VideoClassifier) -> None:
    """Each runtime gives torch's logits for clips that the bundle has never seen."""
    clips = torch.randn(3, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = one(clips).numpy()
    for runtime in ("onnx", "openvino"):
        found = Bundle.load(bundle, runtime)(clips)
        assert np.abs(found - expected).max() < TOLERANCE, runtime


# MViT as it is and timesformer without a layer are below.
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("timesformer", "full"), ("timesformer", "bridged"),
        ("video_swin", "full"), ("video_swin", "pruned"), ("video_swin", "bridged"),
        ("mvit", "bridged"),
        ("videomae", "pruned"),
    ],
)  # fmt: skip
def test_every_runtime_gives_the_logits_of_torch(
    name: str, kind: str, classifier: Make, tmp_path: Path
) -> None:
    one = classifier(name, kind)
    export(one, tmp_path / "bundle", ("onnx", "openvino"))
    check(tmp_path / "bundle", one)


def test_shapes_are_static_and_the_opset_is_as_asked(bundle: Path, classifier: Make) -> None:
    check(bundle, classifier("mvit", "pruned"))
    model = onnx.load(bundle / "model.onnx")
    shape = model.graph.input[0].type.tensor_type.shape
    assert [dim.dim_value for dim in shape.dim] == [1, 3, 4, 32, 32]
    assert model.opset_import[0].version == 18
    assert ranks_of_convolutions(bundle) == {5}
    assert not any(node.metadata_props for node in model.graph.node)  # no paths of this machine


def test_no_convolution_is_over_three_axes_if_so_asked(classifier: Make, tmp_path: Path) -> None:
    one = classifier("mvit")
    export(one, tmp_path / "bundle", ("onnx", "openvino"), conv3d=False)
    check(tmp_path / "bundle", one)
    assert ranks_of_convolutions(tmp_path / "bundle") == {4}


def ranks_of_convolutions(bundle: Path) -> set[int]:
    """Of the kernels in a model: 5 where they are over three axes."""
    graph = onnx.load(bundle / "model.onnx").graph
    rank = {tensor.name: len(tensor.dims) for tensor in graph.initializer}
    return {rank[node.input[1]] for node in graph.node if node.op_type == "Conv"}


def test_any_batch_on_request(classifier: Make, tmp_path: Path) -> None:
    one = classifier("timesformer", "pruned")
    bundle = export(one, tmp_path / "bundle", ("onnx", "openvino"), batch=None)
    check(tmp_path / "bundle", one)
    assert bundle.description.shape == (None, 3, 4, 32, 32)
    with pytest.raises(
        InputError, match=r"^torch cannot export this model with any batch: [^\n]+$"
    ):
        export(classifier("video_swin"), tmp_path / "other", batch=None)
    assert not [path for path in tmp_path.iterdir() if path.name != "bundle"]
