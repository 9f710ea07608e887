"""A model and a calibration split to scores: the loop over clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, nullcontext
from math import isfinite
from typing import Any

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor

from vitprune.importance.accumulate import RelevanceScores
from vitprune.importance.engine import Autocast, evaluating, without
from vitprune.importance.measures import MEASURES
from vitprune.importance.scores import Scores
from vitprune.models.chain import VideoTransformer
from vitprune.models.finite import (
    check_logits,
    described,
    first_not_finite,
    names_of,
    not_finite,
)
from vitprune.models.places import units_of
from vitprune.models.unit import Unit, in_words

Batch = Mapping[str, Any]
"""``clips`` [B, 1, 3, T, H, W] (or without the views' axis), ``label`` [B], ``video`` [B], and
maybe ``name``, a list of B texts."""
BatchDone = Callable[[int, int | None], None]
"""Called after each batch with the number of batches done and of all (None if unknown)."""


def score(
    model: VideoTransformer,
    batches: Iterable[Batch],
    scope: str = "layer",
    *,
    measure: str = "ablation",
    max_streams: int | None = None,
    seed: int = 0,
    autocast: Autocast = nullcontext,
    progress: bool | BatchDone = True,
) -> Scores:
    """Relevance of every unit of a scope on every clip of a calibration split.

    Every process of a group hands in its share of the clips and gets the scores of all.

    Args:
        model: put into eval mode, and back when done.
        batches: of the calibration split, one view per clip; see :data:`Batch`.
        scope: ``layer``, ``attention``, ``mlp``, ``head``, ``neurons`` or ``any``.
        measure: one of :data:`vitprune.importance.measures.MEASURES`.
        max_streams: see :func:`vitprune.importance.ablate`.
        seed: for measures that draw.
        autocast: gives the context to run the model in, for example
            ``partial(torch.autocast, "cuda", torch.bfloat16)``.
        progress: a progress bar, nothing, or what to call; see :data:`BatchDone`.

    Raises:
        ValueError: an unknown scope or measure, clips with several views, or no clips.
        NotFinite: a logit or a value is nan or infinite.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r} is not one of {', '.join(MEASURES)}")
    what = MEASURES[measure]
    units = units_of(model, scope)
    if what.per_unit is not None:
        return _without_clips(model, measure, units, what.per_unit(model, units, seed))
    assert what.per_clip is not None
    like = next(model.parameters())
    gathered = RelevanceScores(units, what.names).to(like.device)
    total = len(batches) if isinstance(batches, Sized) else None
    with evaluating(model), _reporting(progress, total, f"{measure}, {scope}") as report:
        for done, batch in enumerate(batches, 1):
            clips = one_view(batch["clips"]).to(like, non_blocking=True)
            labels = batch["label"].to(like.device)
            with autocast():
                full, values = what.per_clip(model, clips, labels, units, max_streams)
                _check(model, clips, names_of(batch), full, values, units)
            gathered.update(batch["video"].to(like.device), labels, full.argmax(-1), values)
            report(done, total)
    return gathered.compute()


def one_view(clips: Tensor) -> Tensor:
    """Clips [B, 1, 3, T, H, W], or without the views' axis, as [B, 3, T, H, W].

    Raises:
        ValueError: several views.
    """
    if clips.dim() == 6:
        if clips.shape[1] != 1:
            raise ValueError(f"relevance takes one view per clip, not {clips.shape[1]}")
        return clips[:, 0]
    return clips


def _check(
    model: VideoTransformer,
    clips: Tensor,
    names: Sequence[str] | None,
    full: Tensor,
    values: Mapping[str, Tensor],
    units: Sequence[Unit],
) -> None:
    """Raise :class:`NotFinite` unless all logits [B, C] and values, each [B, U], are finite."""
    check_logits(full, model, clips, names)
    bad = ~torch.stack([value.isfinite() for value in values.values()]).all(0)
    if not bad.any():
        return
    clip, number = bad.nonzero()[0].tolist()
    shown, unit = clips[clip : clip + 1], units[number]
    with without(model, unit):
        where = first_not_finite(model, shown)
    what = f"the scores ({', '.join(values)}) of {described(model, [unit])}"
    raise not_finite(what, names[clip] if names else None, where, full)


def _without_clips(
    model: VideoTransformer, measure: str, units: list[Unit], values: Sequence[float]
) -> Scores:
    if bad := [unit for unit, value in zip(units, values, strict=True) if not isfinite(value)]:
        what = f"the scores ({measure}) of {described(model)}, {in_words(bad[:1])},"
        raise not_finite(what, None, None, next(model.parameters()))
    none = np.empty(0, dtype=np.int64)
    rows = {measure: np.asarray(values, dtype=np.float64)[None]}
    return Scores(units, clips=none, labels=none, predicted=none, values=rows)


@contextmanager
def _reporting(progress: bool | BatchDone, total: int | None, title: str) -> Iterator[BatchDone]:
    """What to call after each batch, with the number of batches done and of all."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda done, total: None
    else:
        with Progress() as bar:
            task = bar.add_task(title, total=total)
            yield lambda done, total: bar.update(task, completed=done)
