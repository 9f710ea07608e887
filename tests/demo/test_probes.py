"""Honesty: no class of a stand-in can be told by its colours, or from one of its frames.

Colours and single frames are judged by logistic regression, the best of several strengths of
regularisation, on people that it was not trained on: everybody's turn comes, by cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial

import numpy as np
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vitprune.demo.layouts import Job, Layout, MakeScene, plan_of
from vitprune.demo.videos import scene_of

Array = np.ndarray
VIDEOS = 48
"""Of every class, two by each of half as many people."""
FOLDS = 4
MOMENTS = (0.25, 0.5, 0.75)
STRENGTHS = (1e-3, 1e-2, 1e-1)


def frames_of(kind: MakeScene, job: Job) -> Array:
    """uint8 [3, 60, 80, 3]: three frames, as they are recorded."""
    scene = scene_of(kind, job, seed=0)
    frames = [scene.frame(t).image.resize((80, 60), Image.Resampling.BOX) for t in MOMENTS]
    return np.stack([np.asarray(frame) for frame in frames])


@cache
def videos(layout: Layout) -> tuple[Array, Array, Array]:
    """Frames [N, 3, 60, 80, 3], labels [N] and who is in them [N]."""
    plan = plan_of(layout, {"train": VIDEOS - 4, "val": 2, "test": 2})
    with ProcessPoolExecutor(2) as pool:
        frames = np.stack(list(pool.map(partial(frames_of, plan.scene), plan.jobs, chunksize=16)))
    labels = np.unique([job.action for job in plan.jobs], return_inverse=True)[1]
    return frames, labels, np.array([job.who for job in plan.jobs])


def mean_colours(frames: Array) -> Array:
    return frames.mean(axis=(2, 3)).reshape(len(frames), -1)


def colour_histograms(frames: Array) -> Array:
    """Of the three frames: 8 bins of every channel, and 4 x 4 x 4 bins of colours."""
    pixels = frames.reshape(len(frames), len(MOMENTS), -1, 3)
    single = [(pixels // 32 == i).mean(axis=2) for i in range(8)]
    joint = (pixels // 64) @ np.array([16, 4, 1], np.uint8)
    colours = [(joint == i).mean(axis=2) for i in range(64)]
    return np.concatenate([*(x.reshape(len(frames), -1) for x in single), *colours], axis=1)


def single_frame(frames: Array, moment: int) -> Array:
    """One frame at 16 x 16 pixels."""
    small = [
        np.asarray(Image.fromarray(frame).resize((16, 16), Image.Resampling.BOX))
        for frame in frames[:, moment]
    ]
    return np.stack(small).reshape(len(frames), -1)


def accuracy(features: Array, labels: Array, people: Array) -> float:
    """The best of several logistic regressions on people that they do not know: their Top-1."""
    scores = []
    for strength in STRENGTHS:
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200))
        told = cross_val_predict(probe, features, labels, groups=people, cv=GroupKFold(FOLDS))
        scores.append(float(np.mean(told == labels)))
    return max(scores)


PROBES: dict[str, Callable[[Array], Array]] = {
    "mean colours": mean_colours,
    "colour histograms": colour_histograms,
    "first quarter's frame": partial(single_frame, moment=0),
    "middle frame": partial(single_frame, moment=1),
    "last quarter's frame": partial(single_frame, moment=2),
}


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("layout", ["dai", "ucf101"])
def test_no_class_is_told_by_colours_or_by_one_frame(layout: Layout, probe: str) -> None:
    frames, labels, people = videos(layout)
    assert accuracy(PROBES[probe](frames), labels, people) < 2 / len(np.unique(labels))


def test_the_probes_see_what_gives_a_class_away() -> None:
    """As soon as every class has something of a colour of its own in it, classes are told."""
    frames, labels, people = videos("ucf101")
    colours = np.random.default_rng(0).integers(0, 256, (len(np.unique(labels)), 3))
    told = frames.copy()
    for i, (video, label) in enumerate(zip(told, labels, strict=True)):
        x, y = 13 * i % 60, 7 * i % 40  # anywhere
        video[:, y : y + 20, x : x + 20] = colours[label]
    assert accuracy(colour_histograms(told), labels, people) > 4 / len(colours)
