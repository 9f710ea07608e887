"""A classifier to a bundle, which is checked before it is put in its place."""

from __future__ import annotations

import copy
import math
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

import vitprune
from vitprune.deploy.bundle import Bundle
from vitprune.deploy.clips import ClipRule, normalised
from vitprune.deploy.description import (
    CHECK,
    DESCRIPTION,
    PROVENANCE,
    Description,
    ModelFile,
    Quantised,
)
from vitprune.deploy.formats import FORMATS, Reduced, check_installed, check_precisions, having
from vitprune.deploy.precision import reduce
from vitprune.deploy.program import DIMS, OPSET, WRITERS, Onnx, traced
from vitprune.deploy.quantisation import Batches
from vitprune.errors import InputError
from vitprune.files import content_size, show
from vitprune.importance import score
from vitprune.models.bridge import bridges
from vitprune.models.chain import VideoTransformer
from vitprune.results.writing import write_json
from vitprune.training import VideoClassifier

TOLERANCE = 1e-4
"""By how much a logit may differ from torch's where both are computed in float32."""
CHECKED = 4
"""Clips of a check."""
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino")


def export(
    classifier: VideoClassifier,
    directory: str | Path,
    formats: Sequence[str] = ("onnx",),
    *,
    clips: NDArray[np.uint8] | None = None,
    batch: int | None = 1,
    opset: int = OPSET,
    conv3d: bool = True,
    dims: int = DIMS,
    fused: bool = False,
    precisions: Sequence[Reduced] = (),
    calibration: NDArray[np.uint8] | None = None,
    max_loss: float | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Bundle:
    """Export a classifier as a bundle.

    Every model of the bundle answers the clips of the check before the bundle is put in its place.
    What lies there already is left alone until then, and only a bundle is replaced.

    Args:
        classifier: full or pruned, with bridges or without.
        directory: of the bundle.
        formats: names of :data:`vitprune.deploy.formats.FORMATS`.
        clips: pixels for the check, uint8 [N, T, H, W, 3], RGB; random ones if not given.
        batch: how many clips the models take at once; None for any number.
        opset: of ONNX.
        conv3d: False for no convolutions over three axes, which some devices lack.
        dims: how many dimensions a tensor may have: 5, or 4 for clips [B, 3 * T, H, W], too.
        fused: whether attention is one node of ONNX, not of OpenVINO.
        precisions: besides float32, of those formats that have them; see
            :func:`vitprune.deploy.precision.reduce`.
        calibration: pixels of clips for ``int8``, shaped as ``clips``, which are taken if there are
            none.
        max_loss: how much ``int8`` may lose on them, in points; None for any. Where it loses more,
            the layers of highest relevance stay in float; see
            :func:`vitprune.deploy.quantisation.quantise`.
        provenance: what else there is to say of where the classifier comes from.

    Returns:
        The bundle, opened with the first of ``formats``.

    Raises:
        InputError: packages are missing, an exporter or a runtime lacks an operator, a model fails
            its check, or something else lies at ``directory``.
    """
    check_installed(formats, write=True)
    check_precisions(precisions, formats)
    directory, rule = Path(directory), ClipRule.of(classifier.clip_settings)
    model = as_deployed(classifier)
    pixels = _drawn(rule) if clips is None else clips
    inputs = normalised(pixels, rule)
    source = pixels if calibration is None else calibration
    description = Description(
        classes=classifier.class_names,
        clip=rule,
        batch=batch,
        dims=dims,
        models=(),
        model=_described(model),
        provenance=provenance or {},
        versions=_versions(),
        seconds=0.0,
    )
    learnt = Batches(source, rule, description.input_shape) if "int8" in precisions else None
    order = cache(lambda: _most_relevant_first(model, Batches(source, rule, description.shape)))
    with torch.inference_mode():
        logits = np.concatenate([model(torch.from_numpy(one[None])).numpy() for one in inputs])
    with _building(directory) as building:
        np.savez_compressed(building / CHECK, clips=pixels, logits=logits)
        if classifier.provenance is not None:
            write_json(building / PROVENANCE, classifier.provenance.plain())
        start = time.perf_counter()
        clip = torch.from_numpy(inputs[:1])
        program = traced(model, clip, batch=batch, conv3d=conv3d, dims=dims)
        how = Onnx(opset, dims, fused, model.layers)
        for name in formats:
            WRITERS[name](program, building, how)
        del program
        models = [
            _model_file(name, "float32", building, opset, FORMATS[name].files) for name in formats
        ]
        models += [
            _model_file(name, precision, building, opset, *reduce(
                precision, name, building, learnt, max_loss=max_loss, order=order,
            ))
            for precision in precisions
            for name in having(precision, formats)
        ]  # fmt: skip
        description = replace(description, models=models, seconds=time.perf_counter() - start)
        write_json(building / DESCRIPTION, description.plain())
        checked = [_checked(building, one) for one in models]
        write_json(building / DESCRIPTION, replace(description, models=checked).plain())
    return Bundle.load(directory, formats[0])


def as_deployed(classifier: VideoClassifier) -> VideoTransformer:
    """A copy of a classifier's model as it is exported: on the CPU and in float32."""
    return copy.deepcopy(classifier.model).cpu().float().eval().requires_grad_(False)


def _checked(directory: Path, one: ModelFile) -> ModelFile:
    """A model that answered the clips of the check as it should.

    What of a reduced precision may be seen elsewhere is twice what was seen here.
    """
    deviation = Bundle.load(directory, one.runtime, precision=one.precision).check()
    return one if one.precision == "float32" else replace(one, tolerance=2 * deviation)


def _drawn(rule: ClipRule) -> NDArray[np.uint8]:
    """Clips of noise, the same every time."""
    size = (CHECKED, rule.num_frames, rule.image_size, rule.image_size, 3)
    return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)


def _most_relevant_first(
    model: VideoTransformer, clips: Iterable[NDArray[np.float32]]
) -> list[int]:
    """The layers by their relevance R, which needs no labels, to clips in batches."""
    batches = (
        {"clips": torch.from_numpy(batch), "label": torch.zeros(len(batch)).long(),
         "video": number * len(batch) + torch.arange(len(batch))}
        for number, batch in enumerate(clips)
    )  # fmt: skip
    return [unit.layer for unit in score(model, batches).rank("R", "highest")]


def _model_file(
    name: str,
    precision: Literal["float32", Reduced],
    directory: Path,
    opset: int,
    files: tuple[str, ...],
    quantised: Quantised | None = None,
) -> ModelFile:
    size = sum(content_size(directory / file) for file in files)
    tolerance = TOLERANCE if precision == "float32" else math.inf
    written = None if name == "torch" else opset
    return ModelFile(name, precision, files, size, tolerance, written, quantised)


def _described(model: VideoTransformer) -> dict[str, Any]:
    return {
        "title": model.title,
        "spec": asdict(model.spec),
        "dropped": [*map(str, model.dropped)],
        "bridges": [bridge.described() for bridge in bridges(model)],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def _versions() -> dict[str, str]:
    found = {"vitprune": vitprune.__version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def _building(directory: Path) -> Iterator[Path]:
    """A directory beside ``directory`` that takes its name, and place, when the block ends well."""
    if directory.exists() and not (directory / DESCRIPTION).is_file():
        if not directory.is_dir() or any(directory.iterdir()):
            raise InputError(f"{directory} is there and is no bundle; remove it, or name another")
        directory.rmdir()
    directory.parent.mkdir(parents=True, exist_ok=True)
    place = tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-")
    building = Path(place)
    try:
        yield building
        show(building, 0o777)
        if directory.exists():
            old = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
            os.replace(directory, old / directory.name)
            os.replace(building, directory)
            shutil.rmtree(old)
        else:
            os.replace(building, directory)
    finally:
        shutil.rmtree(building, ignore_errors=True)
