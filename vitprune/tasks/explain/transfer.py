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
    probe = study.load(same_classes=False)
    other_probe = study.load(ckpt=cfg.other_ckpt, same_classes=False)
    _check_same_clips(probe.classifier, other_probe.classifier)
    numbers = choose_clips(probe)
    two_datasets = cfg.other_dataset is not None
    # The dataset that the first model was trained on, where the clips are of another.
    source = study.load(other_dataset=True, same_classes=False) if two_datasets else probe
    (head, *_) = given_heads(source, cfg.head) or most_relevant(source)
    (other_head, *_) = given_heads(other_probe, cfg.other_head) or most_relevant(other_probe)
    panels = []
    if two_datasets:
        first = first_of_each_class(source, cfg.split, 6)
        count = len(source.class_names)
        panels.append(
            pictures.Panel(
                f"{source.dataset}: a clip each of {len(first)} of {count} classes",
                _series(source, first, [("its own model", source, head)]),
                [source.label_name(cfg.split, i) for i in first],
                across=True,
            )
        )
    looks = [
        (f"model of {probe.dataset}", other_probe, other_head),
        (f"model of {source.dataset}" if two_datasets else "the other model", probe, head),
    ]
    panels.append(
        pictures.Panel(
            probe.dataset,
            _series(probe, numbers, looks),
            [probe.label_name(cfg.split, i) for i in numbers],
        )
    )
    pictures.write_panels(
        study.directory / "transfer.png",
        panels,
        title=f"{probe.model.spec.name}: heads across datasets (middle frames)",
    )
    study.picture("transfer.png")
    return {
        "head": str(head),
        "head_chosen_on": "given" if cfg.head else source.dataset,
        "other_ckpt": str(cfg.other_ckpt),
        "other_head": str(other_head),
        "videos": [probe.video_name(cfg.split, i) for i in numbers],
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
