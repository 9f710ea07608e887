"""A model's file to a function that runs it, with the runtime that its format is for.

All of them compute on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitprune.deploy.formats import FORMATS, check_installed, said_by
from vitprune.errors import InputError

Model = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Clips [B, 3, T, H, W] to logits [B, C]."""


def open_model(
    path: Path, runtime: str, *, precision: str = "float32", threads: int | None = None
) -> Model:
    """A file as a function.

    Args:
        path: of the file.
        runtime: a name of :data:`vitprune.deploy.formats.FORMATS`.
        precision: in which it computes what is not in int8. A runtime must not take less where
            float32 is asked for; ``bfloat16`` is float32 where the processor has none.
        threads: how many compute; None for as many as the runtime chooses.

    Raises:
        InputError: the runtime is not installed, or cannot run the file: then, or when it is
            called, the line says why.
    """
    check_installed([runtime], write=False)
    with _refusing(path, runtime):
        run = OPENERS[runtime](path, precision, threads)

    def model(clips: NDArray[np.float32]) -> NDArray[np.float32]:
        with _refusing(path, runtime):
            return run(clips)

    return model


def batched(model: Model, shape: Sequence[int | None]) -> Model:
    """A model that takes any number of clips, of one that takes inputs of a shape.

    Args:
        model: what is lacking in its last batch is filled up with the last clip.
        shape: of its input; the first is how many clips it takes at once, None for any number.
    """
    batch, *rest = shape

    def run(clips: NDArray[np.float32]) -> NDArray[np.float32]:
        at_once = batch or len(clips)
        logits = []
        for start in range(0, len(clips), at_once):
            part = clips[start : start + at_once]
            lacking = at_once - len(part)
            whole = (
                np.concatenate([part, np.repeat(part[-1:], lacking, axis=0)]) if lacking else part
            )
            logits.append(model(whole.reshape(at_once, *rest))[: len(part)])
        return np.concatenate(logits)

    return run


def _onnx(path: Path, precision: str, threads: int | None) -> Model:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what is wrong is raised, too
    options.intra_op_num_threads = threads or 0
    # Its threads would keep a core busy for tens of milliseconds after every run, whoever needs it.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())
    return lambda clips: session.run(None, {name: clips})[0]


def _openvino(path: Path, precision: str, threads: int | None) -> Model:
    import openvino

    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    # By itself it would take bfloat16 for any where the processor has it.
    less = precision == "bfloat16" and has_bfloat16()
    options["INFERENCE_PRECISION_HINT"] = "bf16" if less else "f32"
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    compiled = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda clips: np.array(compiled(clips)[0])


def has_bfloat16() -> bool:
    """Whether OpenVINO can compute in it on this machine's processor."""
    import openvino

    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _torch(path: Path, precision: str, threads: int | None) -> Model:
    import torch

    if threads:
        torch.set_num_threads(threads)
    module = torch.export.load(path).module()

    def run(clips: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return module(torch.from_numpy(np.ascontiguousarray(clips))).numpy()

    return run


OPENERS: dict[str, Callable[[Path, str, int | None], Model]] = {
    "onnx": _onnx, "openvino": _openvino, "torch": _torch,
}  # fmt: skip


@contextmanager
def _refusing(path: Path, runtime: str) -> Iterator[None]:
    """Says in one line what a runtime cannot do; each has exceptions of its own."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        (package,) = FORMATS[runtime].runners
        raise InputError(
            f"{path}: {package} {version(package)} cannot run it: {said_by(error)}"
        ) from error
