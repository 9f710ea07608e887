"""``explain=transfer``: the same clips through a head of each of two models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vitprune.errors import InputError
from vitprune.heads.attention import attention_maps
from vitprune.importance import Unit
from vitprune.report import pictures
from vitprune.tasks.explain.choosing import (
    choose_clips,
    density_of,
    first_of_each_class,
    given_heads,
    most_relevant,
)
from vitprune.tasks.explain.study import Probe, Study
from vitprune.training import VideoClassifier


def transfer(study: Study) -> dict[str, Any]:
    """The paper's Figure 1: the same clips through a head of this model and one of another."""
    cfg = study.cfg
    visitor = study.load(same_classes=False)
    resident = study.load(ckpt=cfg.other_ckpt, same_classes=False)
    _check_same_clips(visitor.classifier, resident.classifier)
    numbers = choose_clips(visitor)
    away = cfg.other_dataset is not None
    home = study.load(other_dataset=True, same_classes=False) if away else visitor
    (own, *_) = given_heads(home, cfg.head) or most_relevant(home)
    (theirs, *_) = given_heads(resident, cfg.other_head) or most_relevant(resident)
    panels = []
    if away:
        first = first_of_each_class(home, cfg.split, 6)
        panels.append(
            pictures.Panel(
                f"{home.dataset}: a clip each of {len(first)} of {len(home.class_names)} classes",
                _series(home, first, [("its own model", home, own)]),
                [home.label_name(cfg.split, i) for i in first],
                across=True,
            )
        )
    looks = [
        (f"model of {visitor.dataset}", resident, theirs),
        (f"model of {home.dataset}" if away else "the other model", visitor, own),
    ]
    panels.append(
        pictures.Panel(
            visitor.dataset,
            _series(visitor, numbers, looks),
            [visitor.label_name(cfg.split, i) for i in numbers],
        )
    )
    pictures.write_panels(
        study.directory / "transfer.png",
        panels,
        title=f"{visitor.model.spec.name}: heads across datasets (middle frames)",
    )
    study.picture("transfer.png")
    return {
        "head": str(own),
        "head_chosen_on": "given" if cfg.head else home.dataset,
        "other_ckpt": str(cfg.other_ckpt),
        "other_head": str(theirs),
        "videos": [visitor.video_name(cfg.split, i) for i in numbers],
    }


def _series(
    probe: Probe, numbers: Sequence[int], looks: Sequence[tuple[str, Probe, Unit]]
) -> list[pictures.Series]:
    """The middle frames of clips, then where each (name, model, head) looks in them."""
    cfg = probe.cfg
    clips = [probe.clip(cfg.split, i) for i in numbers]
    videos = [probe.video_name(cfg.split, i) for i in numbers]
    middle = clips[0].shape[2] // 2
    frames = [probe.frames(clip)[middle] for clip in clips]
    found = [pictures.Series("input", [(frame, None) for frame in frames])]
    for name, other, head in looks:
        maps = [
            attention_maps(other.model, clip, [head], cfg.query, [video])[head]
            for clip, video in zip(clips, videos, strict=True)
        ]
        densities = [density_of(each)[0, middle] for each in maps]
        found.append(
            pictures.Series(f"{name},\nhead {head}", list(zip(frames, densities, strict=True)))
        )
    return found


def _check_same_clips(one: VideoClassifier, other: VideoClassifier) -> None:
    for key, value in one.clip_settings.items():
        there = other.clip_settings.get(key)
        if _plain(value) != _plain(there):
            raise InputError(
                f"ckpt and other_ckpt want different clips: {key} is {value} in one and {there} "
                "in the other; both must see the same"
            )


def _plain(value: Any) -> Any:
    """Tuples as lists, which checkpoints do not tell apart."""
    return list(value) if isinstance(value, tuple) else value
