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
openvino = pytest.importorskip("openvino")

Make = Callable[..., VideoClassifier]


def check(bundle: Path, one: VideoClassifier, dims: int = 5) -> None:
    """Each runtime gives torch's logits for clips that the bundle has never seen."""
    clips = torch.randn(3, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = one(clips).numpy()
    for runtime in ("onnx", "openvino"):
        found = Bundle.load(bundle, runtime)(clips)
        assert np.abs(found - expected).max() < TOLERANCE, runtime
    assert max(dimensions(bundle / "model.onnx")) <= dims
    assert max(dimensions_in_openvino(bundle / "model.xml")) <= dims


def dimensions(path: Path) -> list[int]:
    """How many every tensor of a model has, as ONNX infers it or the model says."""
    model = onnx.load(path)
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    values = {one.name: one for one in (*graph.input, *graph.output, *graph.value_info)}
    given = [values[name] for node in graph.node for name in node.output]
    kinds = [one.type.tensor_type for one in (*graph.input, *given)]
    assert all(kind.HasField("shape") for kind in kinds)
    return [*(len(one.dims) for one in graph.initializer), *(len(k.shape.dim) for k in kinds)]


def dimensions_in_openvino(path: Path) -> list[int]:
    """The same of OpenVINO's model, but for kernels of convolutions, which have one for groups."""
    nodes = openvino.Core().read_model(path).get_ops()
    kernels = {
        node.input_value(1).get_node().get_friendly_name()
        for node in nodes
        if node.get_type_name() == "GroupConvolution"
    }
    given = [node for node in nodes if node.get_friendly_name() not in kernels]
    return [value.get_partial_shape().rank.get_length() for one in given for value in one.outputs()]


# MViT as it is and timesformer without a layer are below.
@pytest.mark.parametrize(
    ("name", "kind", "dims"),
    [
        ("timesformer", "full", 4), ("timesformer", "bridged", 5),
        ("timesformer", "without heads", 4),
        ("video_swin", "full", 4), ("video_swin", "pruned", 5), ("video_swin", "bridged", 5),
        ("video_swin", "without heads", 4),
        ("mvit", "bridged", 4), ("mvit", "without heads", 4),
        ("videomae", "pruned", 4), ("videomae", "without heads", 5),
        ("vivit", "full", 5), ("vjepa2", "full", 4), ("videoprism", "full", 4),
    ],
)  # fmt: skip
def test_every_runtime_gives_the_logits_of_torch(
    name: str, kind: str, dims: int, classifier: Make, tmp_path: Path
) -> None:
    one = classifier(name, kind)
    bundle = export(one, tmp_path / "bundle", ("onnx", "openvino"), dims=dims)
    check(tmp_path / "bundle", one, dims)
    shape = {5: [1, 3, 4, 32, 32], 4: [1, 12, 32, 32]}[dims]
    assert bundle.description.plain()["input"]["shape"] == shape
    assert [*bundle.description.shape] == [1, 3, 4, 32, 32]


@pytest.mark.parametrize(
    ("name", "opset", "operator"),
    [("videomae", 18, "MultiHeadAttention"), ("video_swin", 23, "Attention")],
)
def test_attention_is_one_node_if_so_asked(
    name: str, opset: int, operator: str, classifier: Make, tmp_path: Path
) -> None:
    one = classifier(name)
    export(one, tmp_path / "bundle", ("onnx", "openvino"), opset=opset, fused=True)
    check(tmp_path / "bundle", one)
    nodes = [node.op_type for node in onnx.load(tmp_path / "bundle" / "model.onnx").graph.node]
    assert "Softmax" not in nodes
    assert nodes.count(operator) >= len(one.model.blocks)


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


@pytest.mark.skipif(
    torch.__version__.startswith("2.6."), reason="torch 2.6 fails to write ONNX for any batch"
)
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
