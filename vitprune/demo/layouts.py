"""Which videos a stand-in has, who is in which split, and the text files that say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from PIL import Image

from vitprune.demo import driving, playing
from vitprune.demo.car import CarScene
from vitprune.demo.field import FieldScene

SPLITS = ("train", "val", "test")
TAKES = 2
"""Videos of the same subject (DAI) or group (UCF101) doing the same thing."""

Layout = Literal["dai", "ucf101"]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1, in pixels."""


class Picture(Protocol):
    """One frame, and what can be seen in it."""

    @property
    def image(self) -> Image.Image: ...
    @property
    def boxes(self) -> Mapping[str, Box]: ...


class Scene(Protocol):
    """One video: a subject doing an action, in one of many takes."""

    def frame(self, t: float) -> Picture:
        """The picture at time ``t`` in [0, 1] of the video."""


class MakeScene(Protocol):
    """A kind of scene: what the person looks like is drawn from ``subject``, and all else that is
    chance from ``take``; as a ``negative``, light and dark are exchanged."""

    def __call__(
        self,
        action: str,
        subject: np.random.Generator,
        take: np.random.Generator,
        *,
        negative: bool,
    ) -> Scene: ...


@dataclass(frozen=True)
class Job:
    """One video to render: ``who`` does ``action`` for the ``take``-th time."""

    path: str
    action: str
    who: int
    take: int


@dataclass(frozen=True)
class Plan:
    """All that a stand-in consists of: videos of a kind of scene, and texts, path -> content."""

    scene: MakeScene
    jobs: Sequence[Job]
    texts: Mapping[str, str]


def plan_of(layout: Layout, videos_per_class: Mapping[str, int]) -> Plan:
    """What a stand-in consists of."""
    plan, scene, actions = LAYOUTS[layout]
    jobs, texts = plan(videos_per_class, tuple(actions))
    return Plan(scene, jobs, texts)


def plan_dai(
    videos_per_class: Mapping[str, int], actions: Sequence[str]
) -> tuple[list[Job], dict[str, str]]:
    """Every split has subjects of its own."""
    jobs: list[Job] = []
    texts = {"classes.txt": _lines(actions)}
    first = 1
    for split in SPLITS:
        subjects = range(first, first + _people(videos_per_class[split]))
        first = subjects.stop
        rows = ["video,label,subject,view"]
        for action in actions:
            for who, take in _takes(subjects, videos_per_class[split]):
                path = f"videos/s{who:02d}/{action}_{take}.mp4"
                jobs.append(Job(path, action, who, take))
                rows.append(f"{path},{action},s{who:02d},front")
        texts[f"annotations/{split}.csv"] = _lines(rows)
    return jobs, texts


def plan_ucf101(
    videos_per_class: Mapping[str, int], actions: Sequence[str]
) -> tuple[list[Job], dict[str, str]]:
    """Groups of two videos; each of the three official splits holds out other groups."""
    number = {name: i for i, name in enumerate(actions, 1)}
    training = videos_per_class["train"] + videos_per_class["val"]
    tested = _people(videos_per_class["test"])
    groups = range(1, 1 + tested + _people(training))
    jobs = []
    for action in actions:
        for who, take in _takes(groups, len(groups) * TAKES):
            path = f"UCF-101/{action}/v_{action}_g{who:02d}_c{take:02d}.avi"
            jobs.append(Job(path, action, who, take))
    lists = "ucfTrainTestlist"
    texts = {f"{lists}/classInd.txt": _lines(f"{i} {name}" for name, i in number.items())}
    for split in (1, 2, 3):
        start = tested * (split - 1)
        held_out = {1 + (start + i) % len(groups) for i in range(tested)}
        train, test = [], []
        for job in jobs:
            name = job.path.removeprefix("UCF-101/")
            if job.who in held_out:
                test.append(name)
            else:
                train.append(f"{name} {number[job.action]}")
        texts[f"{lists}/trainlist0{split}.txt"] = _lines(train)
        texts[f"{lists}/testlist0{split}.txt"] = _lines(test)
    return jobs, texts


MakePlan = Callable[[Mapping[str, int], Sequence[str]], tuple[list[Job], dict[str, str]]]
LAYOUTS: dict[Layout, tuple[MakePlan, MakeScene, Iterable[str]]] = {
    "dai": (plan_dai, CarScene, driving.ACTIONS),
    "ucf101": (plan_ucf101, FieldScene, playing.ACTIONS),
}
"""What lays out the videos, draws a scene, and the classes in their order."""


def _people(videos: int) -> int:
    """How many subjects (or groups) it takes for so many videos of one class."""
    return -(-videos // TAKES)


def _takes(people: Sequence[int], videos: int) -> Iterator[tuple[int, int]]:
    """(who, take) for so many videos of one class, takes from 1."""
    for i in range(videos):
        yield people[i // TAKES], 1 + i % TAKES


def _lines(lines: Iterator[str] | Sequence[str] | Mapping[str, object]) -> str:
    return "".join(f"{line}\n" for line in lines)
