"""The same model for clips of another size."""

from __future__ import annotations

from dataclasses import asdict, replace

import torch

from vitprune.errors import InputError
from vitprune.models.bridge import bridges, take_apart
from vitprune.models.build import build_model
from vitprune.models.chain import VideoTransformer


def at_input(model: VideoTransformer, num_frames: int, image_size: int) -> VideoTransformer:
    """A copy for clips [B, 3, num_frames, image_size, image_size], with the same weights.

    Position embeddings are interpolated, as when weights of another input size are loaded
    (:func:`vitprune.models.weights.load_weights`). What was dropped stays dropped.

    Args:
        model: full or without some units, with bridges or without.
        num_frames: of a clip.
        image_size: height and width of its frames, in pixels.

    Raises:
        InputError: the architecture takes no such clips.
    """
    spec = replace(model.spec, num_frames=num_frames, image_size=image_size)
    with torch.random.fork_rng(devices=[]):  # the values are overwritten
        other = build_model(**asdict(spec))
    other.group_neurons(model.neuron_groups)
    other = take_apart(other, model.dropped, [one.described() for one in bridges(model)])
    state = dict(model.state_dict())
    other.fit_positions(state)
    try:
        other.load_state_dict(state)
        like = next(model.parameters())
        with torch.inference_mode():
            other = other.to(like).eval()
            other(torch.zeros(1, 3, num_frames, image_size, image_size).to(like))
    except (InputError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{spec.name} {spec.variant} of {model.spec.num_frames} frames of "
            f"{model.spec.image_size} pixels takes no clips of {num_frames} frames of "
            f"{image_size} pixels: {str(error).strip().splitlines()[-1].strip()}"
        ) from error
    return other.train(model.training)
