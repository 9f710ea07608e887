"""Weights and activations in int8, after training; where that costs too much, not in every layer.

Nagel et al.: A White Paper on Neural Network Quantization, arXiv:2106.08295.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from vitprune.deploy.clips import ClipRule, normalised
from vitprune.deploy.description import Quantised
from vitprune.deploy.formats import FORMATS
from vitprune.deploy.program import refusing
from vitprune.deploy.runtimes import has_bfloat16, open_model
from vitprune.errors import InputError


@dataclass(frozen=True)
class Batches:
    """Clips as a model takes them, each batch made when it is asked for.

    What fills no batch is left out, as shapes are known.

    Args:
        pixels: uint8 [N, T, H, W, 3].
        rule: by which they are normalised.
        shape: of a batch: [B, 3, T, H, W], or whatever else has the same numbers in the same order;
            B is 1 if it is None.

    Raises:
        InputError: they fill no batch.
    """

    pixels: NDArray[np.uint8]
    rule: ClipRule
    shape: Sequence[int | None]

    def __post_init__(self) -> None:
        if not len(self):
            raise InputError(
                f"int8 learns from whole batches, and there are {len(self.pixels)} clips for a "
                f"batch of {self.size}; give more, deploy.calibration={self.size}"
            )

    @property
    def size(self) -> int:
        """B."""
        return self.shape[0] or 1

    def __len__(self) -> int:
        return len(self.pixels) // self.size

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        for number in range(len(self)):
            start = number * self.size
            clips = normalised(self.pixels[start : start + self.size], self.rule)
            yield clips.reshape(self.size, *self.shape[1:])


SMOOTH, PLAIN = "smooth", "plain"
Quantise = Callable[[Collection[int], Path], None]
"""Write a model in int8 to a file, with some layers left in float."""


def quantise(
    runtime: str,
    directory: Path,
    clips: Batches,
    *,
    max_loss: float | None = None,
    order: Callable[[], Sequence[int]],
) -> tuple[tuple[str, ...], Quantised]:
    """Write a bundle's model of a runtime in int8, beside that in float32.

    The loss is the share of the clips whose answer is another than in float32, in points: as much
    as Top-1 can have lost on them, it needs no labels, and luck cannot make up for it. Where all in
    int8 loses more than is allowed, the first layers of ``order`` stay in float; how many is found
    by halving, as if more of them never lost more. Of a runtime's ways of quantising that one is
    taken which loses least with all in int8, the first of those that lose the same. What is not in
    int8 is computed in bfloat16 where OpenVINO can: half of the time of a large model goes there.
    Where all in int8 loses more than is allowed so, it is computed in float32.

    Args:
        runtime: ``onnx`` or ``openvino``.
        directory: of the bundle.
        clips: from which it learns the ranges of activations, and whose answers are compared.
        max_loss: that is allowed, in points; None for any.
        order: gives the model's layers, those first that are to stay in float; only asked where
            some have to.

    Returns:
        The files of the model, that which is opened first; and what is known of it.

    Raises:
        InputError: it cannot be quantised, or loses too much with any layer in int8.
    """
    whole = FORMATS[runtime]
    files = whole.files_in("int8")
    with refusing("deploy.precision=[int8]"), TemporaryDirectory(dir=directory) as place:
        trial = Path(place)
        ways = QUANTISERS[runtime](directory / whole.file, clips, trial)
        expected = answers(directory / whole.file, runtime, clips)

        rest = "bfloat16" if "bfloat16" in whole.reduced and has_bfloat16() else "float32"

        def written(way: str, layers: Collection[int]) -> Path:
            target = trial / way / files[0]
            target.parent.mkdir(exist_ok=True)
            ways[way](layers, target)
            return target

        def loss_of(model: Path) -> float:
            return float(100 * np.mean(answers(model, runtime, clips, rest) != expected))

        def keep() -> None:
            for file in files:
                os.replace(trial / way / file, directory / file)

        losses = {name: loss_of(written(name, ())) for name in ways}
        way = min(losses, key=losses.__getitem__)
        loss, kept = losses[way], 0
        layers: Sequence[int] = ()
        if max_loss is not None and loss > max_loss and rest != "float32":
            rest = "float32"
            loss = loss_of(trial / way / files[0])
        if max_loss is None or loss <= max_loss:
            keep()
        else:
            layers = order()
            fails, kept = 0, len(layers)
            while kept - fails > 1:
                middle = (fails + kept) // 2
                found = loss_of(written(way, layers[:middle]))
                if found <= max_loss:
                    keep()
                    kept, loss = middle, found
                else:
                    fails = middle
            if kept == len(layers):
                raise InputError(
                    f"deploy.max_loss={max_loss:g}: {runtime} keeps to it with none of the "
                    f"{kept} layers in int8, which is the model in float32; allow more than that"
                )
    about = Quantised(len(expected), loss, tuple(sorted(layers[:kept])), max_loss, way, rest)
    return files, about


def answers(path: Path, runtime: str, clips: Batches, rest: str = "float32") -> NDArray[np.int64]:
    """The classes that a file gives clips, [N], with what is not in int8 in another precision."""
    model = open_model(path, runtime, precision=rest)
    return np.concatenate([model(batch).argmax(1) for batch in clips])


def _onnx(path: Path, clips: Batches, place: Path) -> Mapping[str, Quantise]:
    """With ONNX Runtime: the products with weights, which are almost all of a transformer.

    Weights have a scale for each output, and 7 bits: on processors without VNNI sums of products of
    8 bits overflow, and a bundle may be run on any. Activations are unsigned, as its kernels for
    x86 want them; what a product gives stays in float, where a bias is added to it.
    """
    import onnxruntime
    from onnxruntime.quantization import (
        CalibrationDataReader,
        MinMaxCalibrater,
        QDQQuantizer,
        QuantType,
    )
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(clips)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"clips": batch}

    class Calibrater(MinMaxCalibrater):
        def create_inference_session(self) -> None:
            """With extremes taken as soon as they can be.

            By default they are taken last, and all values of the model are held until then.
            """
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
            self.infer_session = onnxruntime.InferenceSession(
                self.augmented_model_path, options, providers=self.execution_providers
            )

    ready, kinds = place / "ready.onnx", ["MatMul", "Gemm"]
    quant_pre_process(path, ready, skip_optimization=True, skip_symbolic_shape=True)
    nodes = _keep_biases_apart(ready)
    calibrater = Calibrater(ready, kinds, str(place / "augmented.onnx"))
    calibrater.augment_graph()
    calibrater.create_inference_session()
    calibrater.collect_data(Reader())
    ranges = calibrater.compute_data()

    def write(layers: Collection[int], target: Path) -> None:
        quantiser = QDQQuantizer(
            load_model_with_shape_infer(ready),
            per_channel=True, reduce_range=True, tensors_range=ranges,
            weight_qType=QuantType.QInt8, activation_qType=QuantType.QUInt8,
            nodes_to_quantize=[], op_types_to_quantize=kinds,
            nodes_to_exclude=[name for name in nodes if layers and re.match(within(layers), name)],
            extra_options={"MatMulConstBOnly": True, "OpTypesToExcludeOutputQuantization": kinds},
        )  # fmt: skip
        quantiser.quantize_model()
        quantiser.model.save_model_to_file(str(target))

    return {PLAIN: write}


def _keep_biases_apart(path: Path) -> list[str]:
    """Rewrite a file so that ONNX Runtime adds biases by themselves; the names of its nodes.

    It makes one node of a product and the bias that is added, before it looks for products in int8,
    and has that node for int8 only where the bias is quantised, too: the product would be in float.
    It does so with biases that are vectors, so here they get axes of length 1.
    """
    from onnxscript import ir

    from vitprune.deploy.graphs import Builder, remove_unused, shape_of

    model = ir.load(path)
    builder = Builder(model.graph)
    for node in [node for node in model.graph if node.op_type == "Add"]:
        rank = len(shape_of(node.outputs[0]))
        for place, (bias, product) in enumerate(permutations(node.inputs)):
            made = product and product.producer()
            if bias and bias.const_value and made and made.op_type == "MatMul":
                sizes = shape_of(bias)
                ones = (1,) * (rank - len(sizes))
                node.replace_input_with(place, builder.view(bias, ones + sizes))
    remove_unused(model.graph)
    ir.save(model, path)
    return [node.name or "" for node in model.graph]


def _openvino(path: Path, clips: Batches, place: Path) -> Mapping[str, Quantise]:
    """With NNCF, in its way for transformers, and in that without SmoothQuant.

    Smoothing (arXiv:2211.10438) moves what is large in a few channels of the activations into the
    weights. Large transformers need that; where weights differ much themselves it does harm.
    """
    import nncf
    import openvino

    model = openvino.Core().read_model(path)

    def write(smooth: bool, layers: Collection[int], target: Path) -> None:
        # A part that is taken of a kernel stays in float; NNCF 3 fails at quantising it.
        ignored = nncf.IgnoredScope(
            patterns=[within(layers)] if layers else [], types=["Gather"], validate=False
        )
        never = nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=-1)
        advanced = (
            None if smooth else nncf.AdvancedQuantizationParameters(smooth_quant_alphas=never)
        )
        with _quiet():
            quantised = nncf.quantize(
                model, nncf.Dataset(clips), model_type=nncf.ModelType.TRANSFORMER,
                subset_size=len(clips), ignored_scope=ignored, advanced_parameters=advanced,
            )  # fmt: skip
        openvino.save_model(quantised, target, compress_to_fp16=False)

    return {SMOOTH: partial(write, True), PLAIN: partial(write, False)}


QUANTISERS: dict[str, Callable[[Path, Batches, Path], Mapping[str, Quantise]]] = {
    "onnx": _onnx, "openvino": _openvino,
}  # fmt: skip
"""By runtime: its ways by name, of a model in float32, what its ranges are learnt from, and room
for files."""


def within(layers: Collection[int]) -> str:
    """A pattern of the names of the nodes of some layers, as
    :func:`vitprune.deploy.program.node_name` gives them."""
    return rf"layers\.({'|'.join(map(str, layers))})[./].*"


@contextmanager
def _quiet() -> Iterator[None]:
    import nncf

    logger = logging.getLogger("nncf")
    level = logger.level
    nncf.set_log_level(logging.ERROR)
    try:
        yield
    finally:
        nncf.set_log_level(level)
