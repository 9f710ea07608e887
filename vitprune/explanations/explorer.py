"""``explain=explorer``: all of it on one page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from vitprune.errors import InputError
from vitprune.explain import figures
from vitprune.explain.boxes import BoxFigures
from vitprune.explain.explorer import Strip, small_frames, small_map, write_explorer
from vitprune.explain.relevance import class_means
from vitprune.explanations.boxes import box_figures
from vitprune.explanations.choosing import (
    density_of,
    first_of_each_class,
    maps_of,
)
from vitprune.explanations.relevance import Heads
from vitprune.explanations.subject import Desk, Subject

log = logging.getLogger(__name__)
STRIPS = 24
"""Most clips, of a class each, that an explorer shows."""


def explorer(desk: Desk) -> dict[str, Any]:
    """One page to look at all of it: ``explorer.html``."""
    cfg, subject = desk.cfg, desk.load()
    scores = subject.scores(cfg.split)
    units = scores.units
    rows, places = figures.grid_of(units)
    heads = Heads.of(subject, scores)
    classes = len(subject.class_names)
    relevances = {
        metric: np.concatenate(
            [
                scores.mean(metric, cfg.target)[None],
                class_means(scores.per_clip(metric, cfg.target), scores.labels, classes),
            ]
        )
        for metric in scores.metrics
    }
    boxes = {kind: figure.summary(cfg.seed) for kind, figure in _boxes_if_any(subject).items()}
    strips = []
    for number in first_of_each_class(subject, cfg.split, STRIPS):
        clip = subject.clip(cfg.split, number)
        video, label = subject.video_name(cfg.split, number), subject.label(cfg.split, number)
        maps = maps_of(subject, clip, units, video)
        levels, highest = zip(
            *(small_map(density_of(maps[str(unit)])[0]) for unit in units), strict=True
        )
        frames = small_frames(subject.frames(clip))
        strips.append(Strip(video, label, frames, np.stack(levels), np.array(highest)))
    write_explorer(
        desk.directory / "explorer.html",
        title=f"{subject.model.spec.name} on {subject.dataset}",
        note=f"{len(heads.values)} clips of the {cfg.split} split, query={cfg.query}",
        rows=rows,
        places=places,
        names=[str(unit) for unit in units],
        classes=subject.class_names,
        relevance=relevances,
        metric=cfg.metric,
        figures={
            "consistency": heads.consistency,
            "selectivity": heads.test.index,
            "p": heads.test.p_value,
            "preferred": heads.test.preferred,
        },
        top=heads.top,
        boxes={kind: summary._asdict() for kind, summary in boxes.items()},
        strips=strips,
    )
    desk.tracker.html("explain/explorer", desk.directory / "explorer.html")
    return {"heads": len(units), "clips": len(heads.values), "boxes": list(boxes)}


def _boxes_if_any(subject: Subject) -> Mapping[str, BoxFigures]:
    """Data need not come with boxes, but those that are named must be right."""
    try:
        return box_figures(subject, subject.cfg.split)
    except InputError as error:
        if subject.cfg.boxes is not None:
            raise
        log.info("Without box figures: %s", error)
        return {}
