"""A model as a program, as torch exports it, and the program in every format."""

from __future__ import annotations

import ast
import logging
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from vitprune.deploy.decompositions import without_conv3d
from vitprune.deploy.formats import said_by
from vitprune.errors import InputError

OPSET = 18
"""Of ONNX: the one that all versions of torch from 2.6 on write without converting."""


DIMS = 5
"""Of a tensor at most: as many as clips have."""


@dataclass(frozen=True)
class Onnx:
    """How models are written in ONNX.

    Attributes:
        opset: of ONNX.
        dims: how many dimensions a tensor may have; at least as many as the program's clips.
        fused: whether attention is one node, see :func:`vitprune.deploy.attention.fuse_attention`.
            OpenVINO's models do without: it puts the operators together by itself.
        layers: numbers of the layers that the model has, in order of execution, after which nodes
            are called.
    """

    opset: int = OPSET
    dims: int = DIMS
    fused: bool = False
    layers: Sequence[int] = ()


LARGEST = 2**16
"""Batch of which a program is taken for any: torch 2.6 does not believe in one without an end."""


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
    shapes = None if batch else ({0: Dim("batch", min=1, max=LARGEST)},)
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


def write_torch(program: ExportedProgram, directory: Path, how: Onnx) -> None:
    """``model.pt2``, whose tensors have as many dimensions as they have."""
    with refusing("export=torch"):
        torch.export.save(program, directory / "model.pt2")


def write_onnx(program: ExportedProgram, directory: Path, how: Onnx) -> None:
    """``model.onnx``, with its weights in it; its nodes are called as :func:`node_name` has it.

    Raises:
        InputError: the opset has no operator that the program needs, or an operator needs more
            dimensions.
    """
    from onnxscript.optimizer import fold_constants, remove_unused_nodes

    from vitprune.deploy.attention import fuse_attention  # needs onnxscript
    from vitprune.deploy.ranks import limit_ranks
    from vitprune.deploy.translations import TRANSLATIONS

    with refusing(f"export=onnx with deploy.opset={how.opset}"):
        found: Any = torch.onnx.export(
            program, (), None, input_names=["clips"], output_names=["logits"],
            opset_version=how.opset, dynamo=True, optimize=False, verbose=False,
            custom_translation_table=TRANSLATIONS,
        )  # fmt: skip
        # Three of four nodes are constants; patterns are then looked for among the others alone.
        fold_constants(found.model)
        remove_unused_nodes(found.model)
        found.optimize()
        graph = found.model.graph
        if graph.opset_imports[""] != how.opset:  # it goes on with what it could not convert
            raise InputError(
                f"deploy.opset={how.opset} cannot be written by this torch; take {OPSET}"
            )
        for node in graph:
            scopes = ast.literal_eval(node.metadata_props.get("pkg.torch.onnx.name_scopes", "[]"))
            node.name = node_name(scopes, node.name or "", how.layers)
        if how.fused:
            fuse_attention(graph, how.opset)
        limit_ranks(graph, how.dims)
        for node in graph:
            node.metadata_props.clear()  # which lines of which file it was traced from
        found.save(directory / "model.onnx", external_data=False)


BLOCK = re.compile(r"(?:model\.)?blocks\.(\d+)(?:\.branches)?")
"""What the names of a layer's modules begin with, in a model."""


def node_name(scopes: Sequence[str], name: str, layers: Sequence[int]) -> str:
    """What a node is called: by its module, as the unpruned model numbers layers.

    Args:
        scopes: names of the modules that it is in, from the outermost, and its own.
        name: that torch gives it, which no other node has.
        layers: numbers of the layers that the model has, in order of execution.

    Returns:
        For example ``layers.7.attention.qkv/MatMul_11``.
    """
    module = scopes[-2] if len(scopes) > 1 else ""
    place = BLOCK.sub(lambda found: f"layers.{layers[int(found[1])]}", module, count=1)
    return "/".join(filter(None, [place, name.removeprefix("node_")]))


def write_openvino(program: ExportedProgram, directory: Path, how: Onnx) -> None:
    """``model.xml`` and ``model.bin``, from the model in ONNX.

    Raises:
        InputError: OpenVINO or the opset lacks an operator.
    """
    import openvino

    with TemporaryDirectory() as place:
        written = directory / "model.onnx"
        if how.fused or not written.is_file():
            write_onnx(program, Path(place), replace(how, fused=False))
            written = Path(place) / "model.onnx"
        with refusing("export=openvino"):
            # As convert_model does it, which first tries whether the file is one of torch's.
            model = openvino.Core().read_model(written)
            openvino.save_model(model, directory / "model.xml", compress_to_fp16=False)


WRITERS: Mapping[str, Callable[[ExportedProgram, Path, Onnx], None]] = {
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
        raise InputError(f"{what}: {said_by(causes[-1])}") from error
    finally:
        for logger, level in zip(talkative, levels, strict=True):
            logger.setLevel(level)
