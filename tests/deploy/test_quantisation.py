"""int8, whole and with some layers left in float."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from vitprune.deploy import Bundle, export, quantisation
from vitprune.deploy.bundle import read_check
from vitprune.deploy.description import Description
from vitprune.deploy.exporting import _most_relevant_first
from vitprune.deploy.program import node_name
from vitprune.deploy.quantisation import Batches, quantise, within
from vitprune.errors import InputError
from vitprune.importance import score
from vitprune.models import build_model
from vitprune.pruning import drop_layers
from vitprune.training import VideoClassifier

for package in ("onnxscript", "onnxruntime", "openvino", "nncf"):
    pytest.importorskip(package)

Make = Callable[..., VideoClassifier]


def test_nodes_are_called_by_the_modules_and_layers_of_the_unpruned_model() -> None:
    scopes = ["", "blocks.1", "blocks.1.branches.mlp", "blocks.1.branches.mlp.fc1", "linear"]
    assert node_name(scopes, "node_MatMul_7", [3, 12]) == "layers.12.mlp.fc1/MatMul_7"
    assert node_name(["", "blocks.0", "view"], "node_view", [3, 12]) == "layers.3/view"
    assert node_name(["", "head", "linear"], "node_Gemm_1", [3]) == "head/Gemm_1"
    assert node_name(["", "view"], "node_view", [3]) == node_name([], "node_view", [3]) == "view"
    assert re.fullmatch(within([2, 12]), "layers.12.mlp.fc1/MatMul_7")
    assert not re.fullmatch(within([2, 1]), "layers.12.mlp.fc1/MatMul_7")


@pytest.fixture(scope="module")
def whole(classifier: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a bundle of a model with layers 0 and 1, also in int8."""
    directory = tmp_path_factory.mktemp("quantisation") / "bundle"
    export(classifier("mvit"), directory, ("onnx", "openvino"), precisions=["int8"])
    return directory


@pytest.fixture(scope="module")
def clips(whole: Path) -> Batches:
    return Batches(read_check(whole)[0], Description.read(whole).clip, (1, 3, 4, 32, 32))


def test_every_runtime_has_int8(whole: Path) -> None:
    models = Description.read(whole).models
    assert [one.name for one in models] == ["onnx", "openvino", "onnx int8", "openvino int8"]
    for full, one in zip(models[:2], models[2:], strict=True):
        assert one.quantised is not None
        assert one.quantised.clips == 4
        assert one.quantised.loss in {0, 25, 50, 75, 100}
        assert (one.quantised.float_layers, one.quantised.max_loss) == ((), None)
        assert (whole / one.files[-1]).stat().st_size < (whole / full.files[-1]).stat().st_size
        opened = Bundle.load(whole, one.runtime, precision="int8")
        assert 1e-4 < opened.check() < 1
    with pytest.raises(InputError, match="has no model for torch int8"):
        Bundle.load(whole, "torch", precision="int8")


def test_a_kernel_that_is_taken_apart_stays_in_float(tmp_path: Path) -> None:
    clips = {"num_frames": 4, "image_size": 32}
    model = drop_layers(build_model("mvit", "v2_s", num_classes=3, **clips), range(1, 16))
    one = VideoClassifier(model, ["a", "b", "c"], clips)
    bundle = export(one, tmp_path / "bundle", ["openvino"], precisions=["int8"], conv3d=False)
    assert [model.name for model in bundle.description.models] == ["openvino", "openvino int8"]


def in_int8(path: Path) -> set[str]:
    """The modules whose products with weights are in int8."""
    if path.suffix == ".onnx":
        import onnx

        graph = onnx.load(path).graph
        made = {node.output[0]: node.op_type for node in graph.node}
        found = [
            node.name
            for node in graph.node
            if node.op_type in ("MatMul", "Gemm") and made.get(node.input[1]) == "DequantizeLinear"
        ]
    else:
        import openvino

        found = [
            op.get_friendly_name()
            for op in openvino.Core().read_model(path).get_ordered_ops()
            if op.get_type_name() == "FakeQuantize"
        ]
    return {name.split("/")[0] for name in found}


def test_onnx_runtime_computes_in_int8_what_is_so(whole: Path, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    onnxruntime.InferenceSession(whole / "model-int8.onnx", options)
    graph = onnx.load(tmp_path / "run.onnx").graph
    made = {name: node.op_type for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type in ("MatMul", "Gemm", "FusedMatMul"):
            assert made.get(node.input[1]) != "DequantizeLinear", node.name
    assert {node.op_type for node in graph.node} >= {"MatMulIntegerToFloat", "QGemm"}


def layers_in_int8(path: Path) -> set[str]:
    return {name.split(".")[1] for name in in_int8(path) if name.startswith("layers.")}


@pytest.mark.parametrize(("runtime", "file"), [("onnx", "m.onnx"), ("openvino", "m.xml")])
def test_layers_that_are_left_out_stay_in_float(
    runtime: str, file: str, whole: Path, clips: Batches, tmp_path: Path
) -> None:
    assert layers_in_int8(whole / file.replace("m.", "model-int8.")) == {"0", "1"}
    model = whole / file.replace("m.", "model.")
    for way, write in quantisation.QUANTISERS[runtime](model, clips, tmp_path).items():
        write([1], tmp_path / file)
        assert layers_in_int8(tmp_path / file) == {"0"}, way


class Made:
    """What quantising would give, if ``needed`` of the layers in float were enough."""

    def __init__(self, needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.needed, self.tried = needed, list[tuple[int, ...]]()
        monkeypatch.setitem(quantisation.QUANTISERS, "onnx", lambda *_: {"plain": self.write})
        monkeypatch.setattr(quantisation, "answers", self.answers)

    def write(self, layers: Collection[int], target: Path) -> None:
        self.tried.append(tuple(layers))
        target.write_text(" ".join(map(str, layers)))

    def answers(self, path: Path, runtime: str, clips: Batches, rest: str = "") -> np.ndarray:
        wrong = 0 if path.name == "model.onnx" else max(0, self.needed - len(self.tried[-1]))
        return np.arange(100) < wrong


@pytest.mark.parametrize("needed", range(9))
def test_no_more_layers_stay_in_float_than_have_to(
    needed: int, clips: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(needed, monkeypatch)
    order = [5, 1, 7, 3, 8, 0, 2, 6, 4, 9]
    files, found = quantise("onnx", tmp_path, clips, max_loss=0, order=lambda: order)
    assert found.float_layers == tuple(sorted(order[:needed]))
    assert (found.loss, found.max_loss, found.clips) == (0, 0, 100)
    assert files == ("model-int8.onnx",)
    assert (tmp_path / files[0]).read_text() == " ".join(map(str, order[:needed]))
    assert len(made.tried) <= 5
    assert [path.name for path in tmp_path.iterdir()] == [*files]


def test_what_is_lost_without_a_limit_is_said_and_relevance_is_not_asked(
    clips: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Made(3, monkeypatch)

    def order() -> Sequence[int]:
        raise AssertionError("asked")

    _, found = quantise("onnx", tmp_path, clips, order=order)
    assert (found.loss, found.float_layers, made.tried) == (3, (), [()])
    _, found = quantise("onnx", tmp_path, clips, max_loss=3, order=order)
    assert (found.loss, found.float_layers) == (3, ())


@pytest.mark.parametrize(("smooth", "plain", "taken"), [(2, 1, "plain"), (1, 1, "smooth")])
def test_of_several_ways_that_is_taken_which_loses_least(
    smooth: int, plain: int, taken: str, clips: Batches, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def writing(wrong: int, layers: Collection[int], target: Path) -> None:
        target.write_text(str(max(0, wrong - len(layers))))

    ways = {"smooth": partial(writing, smooth), "plain": partial(writing, plain)}
    monkeypatch.setitem(quantisation.QUANTISERS, "onnx", lambda *_: ways)
    monkeypatch.setattr(
        quantisation, "answers",
        lambda path, *_: np.arange(100) < int(path.read_text() if path.exists() else 0),
    )  # fmt: skip
    _, found = quantise("onnx", tmp_path, clips, order=list)
    assert (found.way, found.loss, found.float_layers) == (taken, 1, ())
    _, found = quantise("onnx", tmp_path, clips, max_loss=0, order=lambda: [3, 0])
    assert (found.way, found.loss, found.float_layers) == (taken, 0, (3,))
    assert (tmp_path / "model-int8.onnx").read_text() == "0"


@pytest.mark.parametrize(
    ("less", "more", "max_loss", "rest", "layers"),
    [
        (3, 1, None, "bfloat16", ()),
        (3, 1, 3, "bfloat16", ()),
        (3, 1, 2, "float32", ()),
        (3, 1, 0, "float32", (4,)),
    ],
)
def test_the_rest_is_in_bfloat16_unless_too_much_is_lost(
    less: int, more: int, max_loss: float | None, rest: str, layers: tuple[int, ...],
    clips: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def write(layers: Collection[int], target: Path) -> None:
        target.write_text(str(len(layers)))
        target.with_suffix(".bin").touch()

    def answers(path: Path, runtime: str, clips: Batches, rest: str = "float32") -> np.ndarray:
        lost = {"bfloat16": less, "float32": more}[rest] - int(path.read_text())
        return np.arange(100) < (0 if path.name == "model.xml" else lost)

    (tmp_path / "model.xml").write_text("0")
    monkeypatch.setitem(quantisation.QUANTISERS, "openvino", lambda *_: {"plain": write})
    monkeypatch.setattr(quantisation, "answers", answers)
    monkeypatch.setattr(quantisation, "has_bfloat16", lambda: True)
    _, found = quantise("openvino", tmp_path, clips, max_loss=max_loss, order=lambda: [4, 2])
    assert (found.rest, found.float_layers) == (rest, layers)
    monkeypatch.setattr(quantisation, "has_bfloat16", lambda: False)
    _, found = quantise("openvino", tmp_path, clips, max_loss=1, order=lambda: [4, 2])
    assert (found.rest, found.loss, found.float_layers) == ("float32", 1, ())


def test_a_limit_that_leaves_no_layer_in_int8_is_refused(
    clips: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Made(4, monkeypatch)
    with pytest.raises(
        InputError,
        match=r"^deploy\.max_loss=0\.5: onnx keeps to it with none of the 4 layers in int8, which",
    ):
        quantise("onnx", tmp_path, clips, max_loss=0.5, order=lambda: [2, 0, 3, 1])
    assert not [*tmp_path.iterdir()]


def test_layers_of_high_relevance_come_first(classifier: Make, clips: Batches) -> None:
    model = classifier("mvit").model
    order = _most_relevant_first(model, clips)
    label = torch.zeros(1).long()
    batches = [
        {"clips": torch.from_numpy(clip), "label": label, "video": torch.tensor([number])}
        for number, clip in enumerate(clips)
    ]
    relevance = score(model, batches, progress=False).mean("R")
    assert relevance[order[0]] > relevance[order[1]]


def test_clips_are_taken_in_whole_batches(classifier: Make, whole: Path, tmp_path: Path) -> None:
    pixels, rule = read_check(whole)[0], Description.read(whole).clip
    ones = [*Batches(pixels, rule, (None, 3, 4, 32, 32))]
    (three,) = Batches(pixels, rule, (3, 12, 32, 32))
    assert np.array_equal(three, np.concatenate(ones[:3]).reshape(3, 12, 32, 32))
    with pytest.raises(InputError, match=r"there are 4 clips for a batch of 8; give more, deploy"):
        export(classifier("mvit"), tmp_path / "b", batch=8, precisions=["int8"])
