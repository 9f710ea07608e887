"""A model as a program, as torch exports it, and the program in every format."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from vitprune.deploy.decompositions import without_conv3d
from vitprune.deploy.ranks import limit_ranks
from vitprune.errors import InputError, in_one_line

OPSET = 18
"""Of ONNX: the one that all versions of torch from 2.6 on write without converting."""


DIMS = 5
"""What no tensor has more of than clips have: dimensions."""


def traced(
    model: nn.Module, clip: Tensor, *, batch: int | None, conv3d: bool, dims: int = DIMS
) -> ExportedProgram:
    """A model as a program.

    Args:
        model: clips to logits, in eval mode, on the CPU.
        clip: one that it takes, [1, 3, T, H, W].
        batch: how many clips the program takes at once; None for any number.
        conv3d: whether the program may have convolutions over three axes; otherwise they become
            others, see :func:`vitprune.deploy.decompositions.conv3d`.
        dims: how many dimensions a tensor may have. With 4 the program takes clips
            [B, 3 * T, H, W], whose numbers are in the same order, and has no such convolutions.

    Raises:
        InputError: torch cannot export it so.
    """
    clips = clip.expand(batch or 2, *clip.shape[1:]).contiguous()
    if dims < clips.dim():
        model, clips, conv3d = _OfFrames(model, clip.shape[1]), clips.flatten(1, 2), False
    shapes = None if batch else ({0: Dim("batch", min=1)},)
    what = "with any batch" if batch is None else f"with a batch of {batch}"
    with refusing(f"torch cannot export this model {what}"), torch.no_grad():
        # The layout of a Video Swin's windows is made in Python, which only strict tracing takes
        # for constant.
        program = torch.export.export(model, (clips,), dynamic_shapes=shapes, strict=True)
        return program if conv3d else without_conv3d(program)


class _OfFrames(nn.Module):
    """A model that takes clips [B, 3 * T, H, W]."""

    def __init__(self, model: nn.Module, colours: int) -> None:
        super().__init__()
        self.model, self.colours = model, colours

    def forward(self, clips: Tensor) -> Tensor:
        return self.model(clips.unflatten(1, (self.colours, -1)))


def write_torch(program: ExportedProgram, directory: Path, opset: int, dims: int) -> None:
    """``model.pt2``, whose tensors have as many dimensions as they have."""
    with refusing("export=torch"):
        torch.export.save(program, directory / "model.pt2")


def write_onnx(program: ExportedProgram, directory: Path, opset: int, dims: int) -> None:
    """``model.onnx``, with its weights in it, and no tensor of more than so many dimensions.

    Raises:
        InputError: the opset has no operator that the program needs, or an operator needs more
            dimensions.
    """
    with refusing(f"export=onnx with deploy.opset={opset}"):
        found: Any = torch.onnx.export(
            program, (), None, input_names=["clips"], output_names=["logits"],
            opset_version=opset, dynamo=True, optimize=True, verbose=False,
        )  # fmt: skip
        if found.model.opset_imports[""] != opset:  # it goes on with what it could not convert
            raise InputError(f"deploy.opset={opset} cannot be written by this torch; take {OPSET}")
        limit_ranks(found.model.graph, dims)
        for node in found.model.graph:
            node.metadata_props.clear()  # which lines of which file it was traced from
        found.save(directory / "model.onnx", external_data=False)


def write_openvino(program: ExportedProgram, directory: Path, opset: int, dims: int) -> None:
    """``model.xml`` and ``model.bin``, from the model in ONNX.

    Raises:
        InputError: OpenVINO or the opset lacks an operator.
    """
    import openvino

    ours = directory / "model.onnx"
    kept = ours.is_file()
    if not kept:
        write_onnx(program, directory, opset, dims)
    with refusing("export=openvino"):
        # As convert_model does it, which first tries whether the file is one of torch's.
        model = openvino.Core().read_model(ours)
        openvino.save_model(model, directory / "model.xml", compress_to_fp16=False)
    if not kept:
        ours.unlink()


WRITERS: Mapping[str, Callable[[ExportedProgram, Path, int, int], None]] = {
    "onnx": write_onnx, "openvino": write_openvino, "torch": write_torch,
}  # fmt: skip
"""By the names of :data:`vitprune.deploy.formats.FORMATS`."""


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Says in one line what an exporter cannot do; each has exceptions, and warnings, of its own.

    Args:
        what: was tried.
    """
    talkative = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in talkative]
    try:
        for logger in talkative:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except InputError:
        raise
    except Exception as error:
        causes = []
        cause: BaseException | None = error
        while cause is not None:
            causes.append(cause)
            cause = cause.__cause__
        raise InputError(f"{what}: {in_one_line(causes[-1])[:300]}") from error
    finally:
        for logger, level in zip(talkative, levels, strict=True):
            logger.setLevel(level)
