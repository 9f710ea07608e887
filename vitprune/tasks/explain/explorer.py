"""``explain=explorer``: all of it on one page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from vitprune.errors import InputError
from vitprune.heads.boxes import BoxFigures
from vitprune.heads.relevance import class_means
from vitprune.report import figures
from vitprune.report.explorer import Strip, small_frames, small_map, write_explorer
from vitprune.tasks.explain.boxes import box_figures
from vitprune.tasks.explain.choosing import (
    density_of,
    first_of_each_class,
    maps_of,
)
from vitprune.tasks.explain.relevance import HeadFigures
from vitprune.tasks.explain.study import Probe, Study

log = logging.getLogger(__name__)
STRIPS = 24
"""Most clips, of a class each, that an explorer shows."""


def explorer(study: Study) -> dict[str, Any]:
    """One page to look at all of it: ``explorer.html``."""
    cfg, probe = study.cfg, study.load()
    scores = probe.scores(cfg.split)
    units = scores.units
    rows, places = figures.grid_of(units)
    heads = HeadFigures.of(probe, scores)
    classes = len(probe.class_names)
    relevances = {
        metric: np.concatenate(
            [
                scores.mean(metric, cfg.target)[None],
                class_means(scores.per_clip(metric, cfg.target), scores.labels, classes),
            ]
        )
        for metric in scores.metrics
    }
    boxes = {kind: figure.summary(cfg.seed) for kind, figure in _boxes_if_any(probe).items()}
    strips = []
    for number in first_of_each_class(probe, cfg.split, STRIPS):
        clip = probe.clip(cfg.split, number)
        video, label = probe.video_name(cfg.split, number), probe.label(cfg.split, number)
        maps = maps_of(probe, clip, units, video)
        levels, highest = zip(
            *(small_map(density_of(maps[str(unit)])[0]) for unit in units), strict=True
        )
        frames = small_frames(probe.frames(clip))
        strips.append(Strip(video, label, frames, np.stack(levels), np.array(highest)))
    write_explorer(
        study.directory / "explorer.html",
        title=f"{probe.model.spec.name} on {probe.dataset}",
        note=f"{len(heads.values)} clips of the {cfg.split} split, query={cfg.query}",
        rows=rows,
        places=places,
        names=[str(unit) for unit in units],
        classes=probe.class_names,
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
    study.run.tracker.html("explain/explorer", study.directory / "explorer.html")
    return {"heads": len(units), "clips": len(heads.values), "boxes": list(boxes)}


def _boxes_if_any(probe: Probe) -> Mapping[str, BoxFigures]:
    """Data need not come with boxes, but those that are named must be right."""
    try:
        return box_figures(probe, probe.cfg.split)
    except InputError as error:
        if probe.cfg.boxes is not None:
            raise
        log.info("Without box figures: %s", error)
        return {}
