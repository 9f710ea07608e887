"""Weights of a model of the hub into ours."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from vitprune.errors import InputError
from vitprune.hub import Source
from vitprune.models.chain import VideoTransformer
from vitprune.models.formats import State
from vitprune.models.hub.branches import INTERFACE
from vitprune.models.hub.model import HubModel, HubVariant, library
from vitprune.models.weights import fill, load_weights
from vitprune.models.weights.files import listed

READ_OUT = r"^(norm|head)"
"""Names of what follows the last block; a model that was only pre-trained has not all of it."""


def load_from_hub(model: VideoTransformer, source: Source) -> None:
    """Fill a model with the weights of the one that it was built for.

    transformers reads them, as it knows how names have changed over the years. The classes of a
    classifier that is kept become the model's ``class_names``.

    Args:
        model: its parameters are overwritten, in place.
        source: where the weights are.

    Raises:
        InputError: they cannot be had or read, or do not fit. The model is as it was.
    """
    folder = source.folder()
    if isinstance(model, HubModel):
        state, fresh = _state(model, source, str(folder))
        kept = fill(model, state, source.name, f"the hub's {model.title}", fresh)
    else:
        kept = load_weights(model, folder / "model.safetensors")
    names = source.class_names()
    model.class_names = tuple(names) if kept and names else None


def _state(model: HubModel, source: Source, folder: str) -> tuple[State, str | None]:
    """The weights under the model's names, and which names may be missing among them."""
    transformers = library()
    try:
        with _quiet(transformers):
            original, found = getattr(transformers, model.auto).from_pretrained(
                folder,
                attn_implementation=INTERFACE,
                dtype=torch.float32,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
    except Exception as error:  # safetensors has errors of its own
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"model.weights={source.name} cannot be read: {line}") from error
    own = replace(
        model.spec,
        num_classes=original.config.num_labels,
        num_frames=getattr(original.config, model.frames_key),
        image_size=getattr(original.config, model.size_key),
    )
    parameters = {id(p): name for name, p in original.named_parameters()}
    variant = HubVariant(model.spec.config or {}, own.num_frames, own.image_size)
    chain = type(model)(own, variant, original)
    theirs = {name: parameters.get(id(p), name) for name, p in chain.named_parameters()}
    missing = set(found["missing_keys"])
    state = {
        name: value for name, value in chain.state_dict().items() if theirs[name] not in missing
    }
    written = source.config().get("architectures") or ()
    classifies = any("Classification" in name for name in written)
    if found["unexpected_keys"]:
        names = listed(sorted(found["unexpected_keys"]))
        if classifies:
            raise InputError(
                f"model.weights={source.name} holds weights that {model.title} has no place for: "
                f"{names}"
            )
        warnings.warn(f"{source.name}: not loaded is {names}", stacklevel=5)
    if not classifies:
        warnings.warn(
            f"{source.name} has no classifier: what follows the last layer is initialised anew",
            stacklevel=5,
        )
    return state, None if classifies else READ_OUT


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without transformers' bars and reports: what matters of them is said in one line."""
    logging = transformers.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
