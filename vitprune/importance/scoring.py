"""A model and a calibration split to scores: the loop over clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
from rich.progress import Progress
from torch import Tensor

from vitprune.importance.accumulate import RelevanceScores
from vitprune.importance.engine import evaluating
from vitprune.importance.measures import MEASURES
from vitprune.importance.scores import Scores
from vitprune.importance.unit import Unit, units_of
from vitprune.models.chain import VideoTransformer

Batch = Mapping[str, Tensor]
"""``clips`` [B, 1, 3, T, H, W] (or without the views' axis), ``label`` [B], ``video`` [B]."""
Report = Callable[[int, int | None], None]


def score(
    model: VideoTransformer,
    batches: Iterable[Batch],
    scope: str = "layer",
    *,
    measure: str = "ablation",
    max_streams: int | None = None,
    seed: int = 0,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    progress: bool | Report = True,
) -> Scores:
    """Relevance of every unit of a scope on every clip of a calibration split.

    In a process group, every process hands in its share of the clips and gets the scores of all.

    Args:
        model: put into eval mode, and back when done.
        batches: of the calibration split, one view per clip; see :data:`Batch`.
        scope: ``layer``, ``attention``, ``mlp`` or ``head``.
        measure: one of :data:`vitprune.importance.measures.MEASURES`.
        max_streams: see :func:`vitprune.importance.ablate`.
        seed: for measures that draw.
        autocast: gives the context to run the model in, for example
            ``partial(torch.autocast, "cuda", torch.bfloat16)``.
        progress: a progress bar, nothing, or what to call after each batch with the number of
            batches done and of all (None if unknown).

    Raises:
        ValueError: an unknown scope or measure, clips with several views, or no clips.
    """
    if measure not in MEASURES:
        raise ValueError(f"measure={measure!r} is not one of {', '.join(MEASURES)}")
    what = MEASURES[measure]
    units = units_of(model, scope)
    if what.per_unit is not None:
        return _without_clips(measure, scope, units, what.per_unit(model, scope, units, seed))
    assert what.per_clip is not None
    like = next(model.parameters())
    gathered = RelevanceScores(units, scope, what.names).to(like.device)
    total = len(batches) if isinstance(batches, Sized) else None
    with evaluating(model), _reporting(progress, total, f"{measure}, {scope}") as report:
        for done, batch in enumerate(batches, 1):
            clips = _one_view(batch["clips"]).to(like, non_blocking=True)
            labels = batch["label"].to(like.device)
            with autocast():
                predicted, values = what.per_clip(model, clips, labels, scope, units, max_streams)
            gathered.update(batch["video"].to(like.device), labels, predicted, values)
            report(done, total)
    return gathered.compute()


def _one_view(clips: Tensor) -> Tensor:
    if clips.dim() == 6:
        if clips.shape[1] != 1:
            raise ValueError(f"relevance takes one view per clip, not {clips.shape[1]}")
        return clips[:, 0]
    return clips


def _without_clips(measure: str, scope: str, units: list[Unit], values: Sequence[float]) -> Scores:
    none = np.empty(0, dtype=np.int64)
    rows = {measure: np.asarray(values, dtype=np.float64)[None]}
    return Scores(scope, units, clips=none, labels=none, predicted=none, values=rows)


@contextmanager
def _reporting(progress: bool | Report, total: int | None, title: str) -> Iterator[Report]:
    """What to call after each batch, with the number of batches done and of all."""
    if callable(progress):
        yield progress
    elif not progress:
        yield lambda done, total: None
    else:
        with Progress() as bar:
            task = bar.add_task(title, total=total)
            yield lambda done, total: bar.update(task, completed=done)
