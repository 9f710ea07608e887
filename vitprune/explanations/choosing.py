"""Which heads, class and clips a command means, and their maps."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch import Tensor

from vitprune.errors import InputError
from vitprune.explain.attention import (
    ROLLOUT,
    AttentionMap,
    attention_maps,
    check_heads,
    rollout,
)
from vitprune.explanations.subject import Subject
from vitprune.importance import Unit

log = logging.getLogger(__name__)
Floats = NDArray[np.float64]


def maps_of(subject: Subject, clips: Tensor, heads: Sequence[Unit]) -> dict[str, AttentionMap]:
    if subject.cfg.query == ROLLOUT:
        return {ROLLOUT: rollout(subject.model, clips)}
    maps = attention_maps(subject.model, clips, heads, subject.cfg.query)
    return {str(head): found for head, found in maps.items()}


def density_of(found: AttentionMap) -> Floats:
    """[B, T, H, W]."""
    return found.cpu().pixels().double().numpy()


def heads_or_best(subject: Subject, head: Any = None, count: int = 1) -> list[Unit]:
    """The heads that are given, or else the most relevant on the calibration split.

    For the clips of ``class`` if one is given.
    """
    cfg = subject.cfg
    given = names_in(cfg.head if head is None else head)
    if given:
        return check_heads(subject.model, given)
    scores = subject.scores(cfg.calibration)
    values = subject.values(scores)
    if cfg["class"] is not None and cfg["class"] in subject.class_names:
        values = values[scores.labels == subject.class_names.index(cfg["class"])]
    if not len(values):
        raise InputError(f"class={cfg['class']} has no clip in the {cfg.calibration} split")
    order = np.argsort(-values.mean(0), kind="stable")[:count]
    chosen = [scores.units[i] for i in order]
    log.info(
        "Most relevant by %s on the %s split of %s: %s",
        cfg.metric,
        cfg.calibration,
        subject.dataset,
        ", ".join(map(str, chosen)),
    )
    return chosen


def names_in(given: Any) -> list[str]:
    """``22.4,22.7`` or a list of heads as a list of names."""
    if given is None:
        return []
    if OmegaConf.is_list(given) or isinstance(given, list):
        return [str(name) for name in given]
    return [part.strip() for part in str(given).strip("[]").split(",") if part.strip()]


def class_of(subject: Subject) -> int | None:
    name = subject.cfg["class"]
    if name is None:
        return None
    if str(name) not in subject.class_names:
        raise InputError(
            f"class={name} is not in dataset={subject.dataset}, which has "
            f"{', '.join(subject.class_names)}"
        )
    return subject.class_names.index(str(name))


def choose_clips(subject: Subject) -> list[int]:
    """Numbers of the clips to show: the one named, the first of a class, or one of each class."""
    cfg, dataset = subject.cfg, subject.data.splits[subject.cfg.split]
    label = class_of(subject)
    numbers = [i for i, clip in enumerate(dataset.clips) if label in (None, clip.label)]
    if cfg.clip is not None:
        named = [i for i in numbers if str(cfg.clip) in subject.video_name(cfg.split, i)]
        if not named:
            raise InputError(
                f"clip={cfg.clip} is in no name of the {len(numbers)} videos, such as "
                f"{subject.video_name(cfg.split, numbers[0])}"
            )
        return named[: cfg.clips]
    if not numbers:
        raise InputError(f"class={cfg['class']} has no clip in the {cfg.split} split")
    if label is None:
        first = {dataset.clips[i].label: i for i in reversed(numbers)}
        numbers = [first[label] for label in sorted(first)]
    return numbers[: cfg.clips]


def first_of_each_class(subject: Subject, split: str, count: int) -> list[int]:
    clips = subject.data.splits[split].clips
    first = {clip.label: i for i, clip in reversed(list(enumerate(clips)))}
    return [first[label] for label in sorted(first)][:count]
