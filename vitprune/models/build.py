"""A model by its name."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from vitprune.errors import InputError
from vitprune.models.chain import ModelSpec, VideoTransformer
from vitprune.models.registry import ARCHITECTURES
from vitprune.models.weights import load_weights


def build_model(
    name: str,
    variant: str | None = None,
    num_classes: int = 400,
    num_frames: int | None = None,
    image_size: int | None = None,
    weights: str | Path | None = None,
) -> VideoTransformer:
    """Builds a video transformer for clips [B, 3, num_frames, image_size, image_size].

    Args:
        name: ``timesformer``, ``video_swin`` or ``mvit``.
        variant: ``base`` or ``tiny``; ``t``, ``s``, ``b`` or ``tiny``; ``v2_s``, ``v1_b``,
            ``v1_b_2021`` or ``tiny``. By default the first of them. ``tiny`` has as many layers
            as the real ones and is made to be trained from scratch in minutes.
        num_classes: width of the classifier.
        num_frames: frames of a clip; by default the variant's own.
        image_size: height and width of a clip in pixels; by default the variant's own.
        weights: None, ``kinetics400`` or a file (:func:`vitprune.models.weights.load_weights`).

    Raises:
        InputError: there is no such name or variant.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"unknown model {name!r}; there are {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[name]
    variants = architecture.variants
    variant = variant or next(iter(variants))
    if variant not in variants:
        raise InputError(f"{name} has no variant {variant!r}; it has {', '.join(variants)}")
    config = variants[variant]
    spec = ModelSpec(
        name,
        variant,
        num_classes,
        num_frames or config.num_frames,
        image_size or config.image_size,
    )
    model = architecture.build(spec, config)
    if variant == "tiny":
        _initialise_for_scratch(model)
    if weights is not None:
        load_weights(model, weights)
    return model


def _initialise_for_scratch(model: VideoTransformer) -> None:
    """Weights from which a small model learns in minutes.

    The originals' small ones are made for long schedules, and for starting from an image model
    that does not know time: with them it learns too slowly, or never tells a motion from its
    reverse.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):
            ends_branch = name.endswith((".proj", ".fc2"))
            nn.init.xavier_uniform_(module.weight, model.scratch_gain if ends_branch else 1.0)
    for name, parameter in model.named_parameters():
        if name.endswith("_embed"):  # added to tokens of about unit size
            nn.init.normal_(parameter, std=1.0)
        elif "pos_encoding." in name or ".rel_pos_" in name:
            nn.init.normal_(parameter, std=0.3)
