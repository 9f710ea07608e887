"""HMDB51 (Kuehne et al., ICCV 2011) in its official layout and its three splits.

``<class>/<name>.avi`` and ``testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt``, with lines
``<name>.avi 0|1|2``: unused, train, test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from vitprune.data.annotations import lines_of
from vitprune.data.base import VideoDataModule
from vitprune.data.dataset import Clip
from vitprune.data.groups import SplitName
from vitprune.errors import InputError

LISTS = "testTrainMulti_7030_splits"
ORIGIN = "it is in HMDB51's test_train_splits.rar"
USES: Mapping[str, SplitName | None] = {"0": None, "1": "train", "2": "test"}
ATTRIBUTES = re.compile(r"_[a-z]_[a-z]+_np\d+_[a-z]+_[a-z]+_\d+\.\w+$", re.IGNORECASE)
"""What a name says of a clip: body, camera motion, people, viewpoint, quality, number."""


class HMDB51DataModule(VideoDataModule):
    """HMDB51. A group is a video that clips were cut from; whole groups make the validation split.

    The official lists are taken as they are: for every class they were drawn on their own, so that
    one film may give training clips of one class and test clips of another.

    See :class:`~vitprune.data.base.VideoDataModule` for the arguments.
    """

    official_splits: ClassVar[tuple[int, ...]] = (1, 2, 3)
    whom: ClassVar[str] = "source video"
    shares_groups: ClassVar[bool] = True

    def read_layout(self) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """See the base; the classes are sorted."""
        ending = f"_test_split{self.split}.txt"
        lists = sorted((self.root / LISTS).glob(f"*{ending}"))
        if not lists:
            raise InputError(f"{self.root / LISTS} has no <class>{ending}; {ORIGIN}")
        class_names = [path.name.removesuffix(ending) for path in lists]
        clips: dict[SplitName, list[Clip]] = {"train": [], "test": []}
        for label, path in enumerate(lists):
            for line, where in lines_of(path, ORIGIN):
                with self.each():
                    name, use = _read(line, where)
                    if use is not None:
                        file = self.root / class_names[label] / name
                        clips[use].append(Clip(file, label, group=source(name, class_names[label])))
        return class_names, clips

    def check_splits(self, clips: Mapping[SplitName, Sequence[Clip]]) -> None:
        """Nothing: the official lists are taken as they are."""

    def grouped(self, clips: Sequence[Clip]) -> list[str]:
        return [clip.group for clip in clips]


def source(name: str, class_name: str) -> str:
    """The video that a clip was cut from, by the clip's name.

    >>> source("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", "brush_hair")
    'April_09'
    """
    rest = ATTRIBUTES.sub("", name)
    if rest == name:
        rest = Path(name).stem
    ending = f"_{class_name}"
    return rest[: -len(ending)] if rest.lower().endswith(ending.lower()) else rest


def _read(line: str, where: str) -> tuple[str, SplitName | None]:
    name, _, use = line.rpartition(" ")  # names may have blanks
    if not name.strip() or use not in USES:
        raise InputError(f"{where}: {line!r} is not of the form '<name>.avi 0|1|2'")
    return name.strip(), USES[use]
