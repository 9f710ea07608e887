"""A model by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vitprune.errors import InputError
from vitprune.hub import Source, is_source
from vitprune.models.chain import ModelSpec, VideoTransformer
from vitprune.models.hub.loading import load_from_hub
from vitprune.models.registry import ARCHITECTURES, Architecture
from vitprune.models.weights import load_weights

HUB = "hub"
"""The name of whichever architecture a model of the hub is of, and the variant of each of them."""


def build_model(
    name: str,
    variant: str | None = None,
    num_classes: int | None = None,
    num_frames: int | None = None,
    image_size: int | None = None,
    weights: str | Path | None = None,
    revision: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> VideoTransformer:
    """Builds a video transformer for clips [B, 3, num_frames, image_size, image_size].

    On the ``meta`` device nothing is filled with weights, so none are fetched.

    Args:
        name: one of :data:`vitprune.models.registry.ARCHITECTURES`, or ``hub`` for the one that
            ``weights`` are of.
        variant: ``base`` or ``tiny``; of Video Swin ``t``, ``s``, ``b`` or ``tiny``; of MViT
            ``v2_s``, ``v1_b``, ``v1_b_2021`` or ``tiny``. By default the first of them. ``tiny``
            is made to be trained from scratch in minutes.
        num_classes: width of the classifier; by default that of a model of the hub, or 400.
        num_frames: frames of a clip; by default the variant's own.
        image_size: height and width of a clip in pixels; by default the variant's own.
        weights: None, ``kinetics400``, a file (:func:`vitprune.models.weights.load_weights`), or a
            directory or an id of the Hugging Face hub.
        revision: commit, tag or branch of an id.
        config: as :class:`ModelSpec` has it.

    Raises:
        InputError: there is no such name, variant or model of the hub, or the weights are for
            another one.
    """
    source = None
    if weights is not None and is_source(weights) and _is_of_hub(name):
        source = Source(str(weights), revision).pinned()
        name = _name_of(source, name)
        variant, config = HUB, source.structure()
        num_classes = num_classes or source.num_classes()
    elif name == HUB:
        raise InputError(
            f"model.weights={weights} is no model of the hub; name a directory or an id "
            "(owner/name) of one"
        )
    architecture = _architecture(name)
    variant, chosen = _variant(name, architecture, variant, config)
    spec = ModelSpec(
        name,
        variant,
        num_classes or 400,
        num_frames or chosen.num_frames,
        image_size or chosen.image_size,
        config,
    )
    model = architecture.build(spec, chosen)
    if variant == "tiny":
        model.initialise_for_scratch()
    if weights is not None and torch.get_default_device().type != "meta":
        if source is not None:
            load_from_hub(model, source)
        else:
            load_weights(model, weights)
    return model


def _is_of_hub(name: str) -> bool:
    return name == HUB or _architecture(name).of_config is not None


def _name_of(source: Source, name: str) -> str:
    found = source.architecture()
    if name not in (HUB, found):
        raise InputError(f"model.weights={source.name} holds a {found}, and the model is {name}")
    return found


def _architecture(name: str) -> Architecture:
    if name not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise InputError(f"unknown model {name!r}; there are {known}, and {HUB} with weights")
    return ARCHITECTURES[name]


def _variant(
    name: str, architecture: Architecture, variant: str | None, config: Mapping[str, Any] | None
) -> tuple[str, Any]:
    """The name of a variant and what it is."""
    if variant == HUB and config is not None and architecture.of_config is not None:
        return HUB, architecture.of_config(config)
    variants = architecture.variants
    variant = variant or next(iter(variants))
    if variant not in variants:
        raise InputError(f"{name} has no variant {variant!r}; it has {', '.join(variants)}")
    registered: Any = variants[variant]
    return variant, replace(registered, **(config or {}))
