"""Which heads, class and clips a command means, and their maps."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vitprune.data.base import SplitName
from vitprune.errors import InputError
from vitprune.heads.attention import (
    ROLLOUT,
    AttentionMap,
    attention_maps,
    check_heads,
    rollout,
)
from vitprune.importance import Unit
from vitprune.tasks.explain.study import Probe

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]


def maps_of(
    probe: Probe, clip: Tensor, heads: Sequence[Unit], video: str
) -> dict[str, AttentionMap]:
    """Where heads look in a clip [1, 3, T, H, W], by their names; ``query=rollout`` takes none.

    ``video`` is what the clip is called.
    """
    if probe.cfg.query == ROLLOUT:
        return {ROLLOUT: rollout(probe.model, clip, [video])}
    maps = attention_maps(probe.model, clip, heads, probe.cfg.query, [video])
    return {str(head): found for head, found in maps.items()}


def density_of(found: AttentionMap) -> Floats:
    """A map over the pixels, 1 where attention is even: [B, T, H, W]."""
    return found.cpu().pixels().double().numpy()


def given_heads(probe: Probe, given: Any) -> list[Unit]:
    """The heads of ``head=22.4`` or ``head=[22.4,22h10]``; none for null.

    Args:
        probe: whose model has them.
        given: a number, a text, or a list of them; a text may name several, ``22.4,22.10``.
    """
    every = [] if given is None else given if isinstance(given, list | tuple) else [given]
    names = [part for one in every for part in (one.split(",") if isinstance(one, str) else [one])]
    return check_heads(
        probe.model, [name if isinstance(name, float) else str(name).strip() for name in names]
    )


def most_relevant(probe: Probe, count: int = 1) -> list[Unit]:
    """The heads that are most relevant on the calibration split, the first one first.

    For the clips of ``class`` if one is given and the clips have it.
    """
    cfg = probe.cfg
    scores = probe.scores(cfg.calibration)
    values = probe.values(scores)
    if cfg.class_ is not None and cfg.class_ in probe.class_names:
        values = values[scores.labels == probe.class_names.index(cfg.class_)]
    if not len(values):
        raise InputError(f"class={cfg.class_} has no clip in the {cfg.calibration} split")
    order = np.argsort(-values.mean(0), kind="stable")[:count]
    chosen = [scores.units[i] for i in order]
    log.info(
        "Most relevant by %s on the %s split of %s: %s",
        cfg.metric,
        cfg.calibration,
        probe.dataset,
        ", ".join(map(str, chosen)),
    )
    return chosen


def class_of(probe: Probe) -> int | None:
    """The number of ``class`` among the clips' classes, if one is given."""
    name = probe.cfg.class_
    if name is None:
        return None
    if str(name) not in probe.class_names:
        raise InputError(
            f"class={name} is not in dataset={probe.dataset}, which has "
            f"{', '.join(probe.class_names)}"
        )
    return probe.class_names.index(str(name))


def choose_clips(probe: Probe) -> list[int]:
    """Numbers of the clips to show: the one named, the first of a class, or one of each class."""
    cfg, dataset = probe.cfg, probe.data.splits[probe.cfg.split]
    label = class_of(probe)
    if label is None and cfg.clip is None:
        return first_of_each_class(probe, cfg.split, cfg.clips)
    numbers = [i for i, clip in enumerate(dataset.clips) if label in (None, clip.label)]
    if not numbers:
        raise InputError(f"class={cfg.class_} has no clip in the {cfg.split} split")
    if cfg.clip is not None:
        named = [i for i in numbers if str(cfg.clip) in probe.video_name(cfg.split, i)]
        if not named:
            raise InputError(
                f"clip={cfg.clip} is in no name of the {len(numbers)} videos, such as "
                f"{probe.video_name(cfg.split, numbers[0])}"
            )
        numbers = named
    return numbers[: cfg.clips]


def first_of_each_class(probe: Probe, split: SplitName, count: int) -> list[int]:
    """Numbers of the first clip of each of the first ``count`` classes that have any."""
    clips = probe.data.splits[split].clips
    first = {clip.label: i for i, clip in reversed(list(enumerate(clips)))}
    return [first[label] for label in sorted(first)][:count]
