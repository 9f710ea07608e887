"""OpenVINO's models in less than float32."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitprune.deploy.clips import ClipRule, normalised
from vitprune.deploy.formats import FORMATS
from vitprune.deploy.program import refusing
from vitprune.errors import InputError


def reduce(
    precision: str,
    directory: Path,
    calibration: NDArray[np.uint8],
    rule: ClipRule,
    batch: int | None,
) -> tuple[str, ...]:
    """Write a bundle's OpenVINO model in another precision, beside that in float32.

    ``float16`` halves the weights on disk; a processor computes with them in float32, other
    devices as they like. ``bfloat16`` is the same file, computed in bfloat16. ``int8`` has weights
    and activations quantised after training (Nagel et al.: A White Paper on Neural Network
    Quantization, arXiv:2106.08295) by NNCF, in its way for transformers.

    Args:
        precision: a name of :data:`vitprune.deploy.formats.REDUCED`.
        directory: of the bundle.
        calibration: pixels of clips from which int8 learns the ranges of activations, uint8
            [N, T, H, W, 3].
        rule: by which they are normalised.
        batch: how many clips the model takes at once; None for any number.

    Returns:
        The files of the model, that which is opened first.

    Raises:
        InputError: this machine cannot compute so, or the model cannot be quantised.
    """
    import openvino

    core, whole = openvino.Core(), FORMATS["openvino"]
    if precision == "bfloat16":
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise InputError("deploy.precision=[bfloat16]: this machine's processor has none")
        return (whole.file, *whole.beside)
    name = f"model-{precision}"
    with refusing(f"deploy.precision=[{precision}]"):
        model = core.read_model(directory / whole.file)
        if precision == "int8":
            model = _quantised(model, calibration, rule, batch or 1)
        openvino.save_model(
            model, directory / f"{name}.xml", compress_to_fp16=precision == "float16"
        )
    return f"{name}.xml", f"{name}.bin"


def _quantised(model: Any, calibration: NDArray[np.uint8], rule: ClipRule, batch: int) -> Any:
    import nncf

    whole = len(calibration) // batch * batch  # only full batches, as shapes are known
    if not whole:
        raise InputError(f"calibration has {len(calibration)} clips, and a batch {batch}")
    clips = [calibration[start : start + batch] for start in range(0, whole, batch)]
    shape = [size.get_length() for size in list(model.inputs[0].partial_shape)[1:]]
    with _quiet():
        return nncf.quantize(
            model, nncf.Dataset(clips, lambda pixels: normalised(pixels, rule).reshape(-1, *shape)),
            model_type=nncf.ModelType.TRANSFORMER, subset_size=len(clips),
        )  # fmt: skip


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
