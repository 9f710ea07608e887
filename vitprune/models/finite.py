"""Refuses logits, scores and maps that are not finite, and names the video, model and layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from vitprune.errors import InputError
from vitprune.models.chain import Block, VideoTransformer
from vitprune.models.unit import Unit, in_words


class NotFinite(InputError):
    """Something that was computed is nan or infinite."""


def names_of(batch: Mapping[str, Any]) -> list[str] | None:
    """What the videos of a batch are called, or their numbers; None where it does not say."""
    if "name" in batch or "video" not in batch:
        return batch.get("name")
    return [f"video {number}" for number in batch["video"].tolist()]


def check_logits(
    logits: Tensor,
    model: nn.Module,
    clips: Tensor,
    names: Sequence[str] | None = None,
    ablated: Sequence[Unit] = (),
) -> None:
    """Raise :class:`NotFinite` unless all logits are finite.

    Args:
        logits: what the model gave, [N, num_classes].
        model: which one; a :class:`VideoTransformer` is asked for the layer.
        clips: what it was shown, [N, 3, T, H, W].
        names: of the B videos that the clips are views of, each V = N / B times.
        ablated: what is ablated in it.
    """
    if logits.isfinite().all():
        return
    row = _first_bad(logits)
    name = names[row * len(names) // len(logits)] if names else None
    if isinstance(model, VideoTransformer):
        where = first_not_finite(model, clips[row : row + 1])
        raise not_finite(f"the logits of {described(model, ablated)}", name, where, logits)
    raise not_finite("the logits", name, None, logits)


def not_finite(what: str, name: str | None, where: str | None, values: Tensor) -> NotFinite:
    """The one line that says it.

    Args:
        what: is not finite, and of which model.
        name: of the video.
        where: see :func:`first_not_finite`.
        values: what was computed; its dtype tells what would be right.
    """
    video = f"{name}: " if name is not None else ""
    layer = f", first in {where}" if where else ""
    return NotFinite(f"{video}{what} are not finite{layer}; {remedy(values)}")


def remedy(values: Tensor) -> str:
    """What to do about values that are not finite."""
    if values.dtype == torch.float16:
        return (
            "16-bit floats end at 65504: use trainer.precision=bf16-mixed or "
            "trainer.precision=32-true"
        )
    return "its weights have diverged or are damaged: fine-tune with a lower model.recipe.lr"


def described(model: VideoTransformer, ablated: Sequence[Unit] = ()) -> str:
    """``the full model``, or ``the model without layers 3, 5 and with head 22.4 ablated``."""
    parts = [
        f"without {in_words(model.dropped)}" if model.dropped else "",
        f"with {in_words(ablated)} ablated" if ablated else "",
    ]
    return f"the model {' and '.join(filter(None, parts))}" if any(parts) else "the full model"


def check_attention(
    attention: Tensor,
    what: str,
    model: VideoTransformer,
    logits: Tensor,
    names: Sequence[str] | None,
) -> None:
    """Raise :class:`NotFinite` unless a map of attention, [B, ...], is finite.

    Args:
        attention: the map.
        what: it is of.
        model: whose logits have been checked.
        logits: its dtype tells what would be right.
        names: of the B videos.
    """
    if not attention.isfinite().all():
        name = names[_first_bad(attention)] if names else None
        raise not_finite(f"the attention maps of {what} in {described(model)}", name, None, logits)


def first_not_finite(model: VideoTransformer, clips: Tensor) -> str | None:
    """The first part of a model whose output is not finite, or None where all are.

    Args:
        model: runs again, in the mode it is in and under the caller's autocast.
        clips: [N, 3, T, H, W].

    Returns:
        ``the embedding``, ``layer 7`` or ``the classifier``.
    """
    with torch.no_grad():
        tokens = model.embed(clips)
        if not tokens.x.isfinite().all():
            return "the embedding"
        for block in cast("Sequence[Block]", model.blocks):
            tokens = block(tokens)
            if not tokens.x.isfinite().all():
                return f"layer {block.index}"
        return None if model.classify(tokens).isfinite().all() else "the classifier"


def _first_bad(values: Tensor) -> int:
    """The first row [N, ...] that has a value which is not finite."""
    return int((~values.isfinite().flatten(1).all(1)).nonzero()[0])
