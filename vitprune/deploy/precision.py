"""Models in less than float32."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vitprune.deploy.description import Quantised
from vitprune.deploy.formats import FORMATS, Reduced
from vitprune.deploy.program import refusing
from vitprune.deploy.quantisation import Batches, quantise
from vitprune.deploy.runtimes import has_bfloat16
from vitprune.errors import InputError


def reduce(
    precision: Reduced,
    runtime: str,
    directory: Path,
    clips: Batches | None,
    *,
    max_loss: float | None = None,
    order: Callable[[], Sequence[int]],
) -> tuple[tuple[str, ...], Quantised | None]:
    """Write a model of a bundle in another precision, beside that in float32.

    ``float16`` halves the weights on disk; a processor computes with them in float32, other
    devices as they like. ``bfloat16`` is the same file, computed in bfloat16. ``int8`` has weights
    and activations quantised after training, see :func:`vitprune.deploy.quantisation.quantise`.

    Args:
        precision: one that the runtime has, see :data:`vitprune.deploy.formats.FORMATS`.
        runtime: whose model it is.
        directory: of the bundle.
        clips: from which int8 learns the ranges of activations; others learn nothing.
        max_loss: of int8, see :func:`vitprune.deploy.quantisation.quantise`.
        order: likewise.

    Returns:
        The files of the model, that which is opened first; and of int8 what is known of it.

    Raises:
        InputError: this machine cannot compute so, or the model cannot be quantised.
    """
    if precision == "int8":
        assert clips is not None
        return quantise(runtime, directory, clips, max_loss=max_loss, order=order)
    import openvino

    whole = FORMATS[runtime]
    if precision == "bfloat16":
        if not has_bfloat16():
            raise InputError("deploy.precision=[bfloat16]: this machine's processor has none")
        return whole.files, None
    files = whole.files_in(precision)
    with refusing(f"deploy.precision=[{precision}]"):
        model = openvino.Core().read_model(directory / whole.file)
        openvino.save_model(model, directory / files[0], compress_to_fp16=True)
    return files, None
