"""Weights from a file or the network into a model."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from vitprune.errors import InputError
from vitprune.models.chain import ModelSpec, VideoTransformer
from vitprune.models.formats import Format, State
from vitprune.models.registry import ARCHITECTURES
from vitprune.models.unit import in_words, read_units
from vitprune.models.weights.download import download
from vitprune.models.weights.files import Checkpoint, listed, read

OWN = Format(
    "vitprune's own",
    (r"^(model\.)?blocks\.\d+\.branches\.",),
    ((r"^model\.", ""),),
)


def load_weights(model: VideoTransformer, source: str | Path) -> bool:
    """Fill a model with weights from elsewhere, recognised by their keys.

    Position embeddings of another number of frames or resolution are interpolated as their
    originals do. A classifier of another width is left as it is, with a warning.

    Args:
        model: its parameters are overwritten, in place.
        source: ``kinetics400``, which downloads, or a file: vitprune's own, or in a format of
            one of the architectures.

    Returns:
        Whether the classifier was loaded, too.

    Raises:
        InputError: the source cannot be had or read, is in no known format or a refused one, is
            for another model, or does not fit this one key by key. The model is as it was.
    """
    fetch = str(source) == "kinetics400"
    checkpoint = read(download(model.spec) if fetch else Path(source))
    architecture, format = _recognise(checkpoint)
    _expect(checkpoint, architecture, format, model)
    state = format.convert(checkpoint.state)
    return fill(model, state, checkpoint.path, format.name, format.fresh)


def fill(
    model: VideoTransformer,
    state: State,
    path: str | Path,
    kind: str,
    fresh: str | None = None,
) -> bool:
    """Fill a model with weights under its own names.

    Args:
        model: its parameters are overwritten, in place.
        state: the weights; positions of another input size are made to fit.
        path: where they are from, for messages.
        kind: whose they are, for messages.
        fresh: see :class:`vitprune.models.formats.Format`.

    Returns:
        Whether the classifier was among them; one of another width is not, with a warning.

    Raises:
        InputError: they do not fit key by key. The model's values are as they were.
    """
    model.fit_classifier(state)
    model.fit_positions(state)
    own = model.state_dict()
    kept = "head.weight" in state
    if fresh is not None:
        absent = own.keys() - state.keys()
        state |= {name: own[name] for name in absent if re.search(fresh, name)}
    if _classifier_differs(path, state, own):
        kept = False
        state |= {name: own[name] for name in ("head.weight", "head.bias")}
    _check(path, kind, model.spec, state, own)
    model.load_state_dict(state)
    return kept


def _recognise(checkpoint: Checkpoint) -> tuple[str, Format]:
    """The name of an architecture and the first of its formats that matches."""
    every = [("", OWN)]  # of any architecture
    every += [(name, f) for name, known in ARCHITECTURES.items() for f in known.formats]
    for name, format in every:
        if format.matches(checkpoint.state):
            return name, format
    known = ", ".join(format.name for _, format in every if format.refusal is None)
    raise InputError(
        f"{checkpoint.path} is in no known format; its keys are "
        f"{listed(list(checkpoint.state))}; known are {known} weights"
    )


def _expect(
    checkpoint: Checkpoint, architecture: str, format: Format, model: VideoTransformer
) -> None:
    """Raise InputError if the weights are for another model than this one."""
    path, spec = checkpoint.path, model.spec
    if format.refusal is not None:
        raise InputError(f"{path} holds {format.name} weights: {format.refusal}")
    if format is not OWN:
        if architecture != spec.name:
            raise InputError(
                f"{path} holds {format.name} weights, for {architecture}; "
                f"the model is {spec.name} {spec.variant}"
            )
        if format.variant not in (None, spec.variant):
            raise InputError(
                f"{path} holds {format.name} weights, for the variant {format.variant}; "
                f"the model is {spec.name} {spec.variant}"
            )
        return
    saved = checkpoint.description.get("spec", {})
    name, variant = saved.get("name", spec.name), saved.get("variant", spec.variant)
    if (name, variant) != (spec.name, spec.variant):
        raise InputError(
            f"{path} holds vitprune's own weights of {name} {variant}; "
            f"the model is {spec.name} {spec.variant}"
        )
    dropped = read_units(checkpoint.description.get("dropped", model.dropped))
    if dropped != list(model.dropped):
        raise InputError(
            f"{path} is pruned: it lacks {in_words(dropped) or 'nothing'}, the model "
            f"{in_words(model.dropped) or 'nothing'}; pruned checkpoints go to ckpt="
        )


def _classifier_differs(path: str | Path, state: State, own: State) -> bool:
    """Whether the checkpoint classifies into another number of classes; if so, warn."""
    theirs, ours = state.get("head.weight"), own["head.weight"]
    if theirs is None or theirs.ndim != 2 or len(theirs) == len(ours):
        return False
    warnings.warn(
        f"{path} has a classifier of width {len(theirs)}, the model one of width "
        f"{len(ours)}: the classifier is not loaded but initialised anew",
        stacklevel=4,
    )
    return True


def _check(path: str | Path, kind: str, spec: ModelSpec, state: State, own: State) -> None:
    """Raise InputError unless ``state`` has exactly the names and shapes of ``own``."""
    shapes = [
        f"{name} {list(state[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    faults = {
        "missing": [name for name in own if name not in state],
        "unexpected": [name for name in state if name not in own],
        "of another shape": shapes,
    }
    if any(faults.values()):
        told = "; ".join(f"{len(f)} {fault}: {listed(f)}" for fault, f in faults.items() if f)
        raise InputError(
            f"{path} holds {kind} weights that do not fit {spec.name} {spec.variant}: {told}"
        )
