"""UCF101 (Soomro et al., arXiv:1212.0402) in its official layout and its three splits.

``UCF-101/<Class>/v_<Class>_gXX_cYY.avi`` and
``ucfTrainTestlist/{classInd,trainlist0N,testlist0N}.txt``.
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
from vitprune.data.recordings import check_subjects
from vitprune.errors import InputError

GROUP = re.compile(r"_g(\d+)_c\d+\.\w+$")
ORIGIN = "it is in UCF101's UCF101TrainTestSplits-RecognitionTask.zip"


class UCF101DataModule(VideoDataModule):
    """UCF101. Its validation split is made of whole groups, taken out of the training list.

    The same group numbers in every class; so no clip is validated on whose person and place are
    trained on. See :class:`~vitprune.data.base.VideoDataModule` for the arguments.
    """

    layout: ClassVar[str] = "ucf101"
    official_splits: ClassVar[tuple[int, ...]] = (1, 2, 3)
    whom: ClassVar[str] = "group"

    def read_layout(self) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """See the base; the classes are in the order of classInd.txt."""
        lists = self.root / "ucfTrainTestlist"
        class_names = read_classes(lists / "classInd.txt")
        return class_names, {
            "train": self._read_list(lists / f"trainlist0{self.split}.txt", "train", class_names),
            "test": self._read_list(lists / f"testlist0{self.split}.txt", "test", class_names),
        }

    def check_splits(self, clips: Mapping[SplitName, Sequence[Clip]]) -> None:
        """Groups only: the official lists are taken as they are."""
        check_subjects(clips, self.whom)

    def grouped(self, clips: Sequence[Clip]) -> list[str]:
        return [clip.group for clip in clips]

    def _read_list(self, path: Path, split: SplitName, class_names: list[str]) -> list[Clip]:
        labels = {name: i for i, name in enumerate(class_names)}
        clips = []
        for line, where in lines_of(path, ORIGIN):
            with self.each(split):
                clips.append(self._clip(line, where, labels))
        if not clips:
            raise InputError(f"{path}: names no clip")
        return clips

    def _clip(self, line: str, where: str, labels: Mapping[str, int]) -> Clip:
        """A line of a list; in a training list it has a label (from 1), which must fit."""
        file, *rest = line.split()
        # the directory names the class: in HandstandPushups, the files spell it differently
        name = file.partition("/")[0]
        group = GROUP.search(file)
        if not group or name == file:
            raise InputError(f"{where}: {file!r} is not of the form <Class>/v_<Class>_gXX_cYY.avi")
        if name not in labels:
            raise InputError(f"{where}: class {name!r} is not in classInd.txt")
        if rest and rest != [str(labels[name] + 1)]:
            raise InputError(
                f"{where}: {name} has label {' '.join(rest)}, "
                f"but number {labels[name] + 1} in classInd.txt"
            )
        return Clip(self.root / "UCF-101" / file, labels[name], group=f"g{int(group[1]):02d}")


def read_classes(path: Path) -> list[str]:
    """The names in classInd.txt, lines of ``1 ApplyEyeMakeup`` numbered from 1, in its order."""
    names: list[str] = []
    for line, where in lines_of(path, ORIGIN):
        fields = line.split()
        if len(fields) != 2 or fields[0] != str(len(names) + 1) or fields[1] in names:
            raise InputError(
                f"{where}: {line!r}; it should be '{len(names) + 1} <Class>', every class once"
            )
        names.append(fields[1])
    if not names:
        raise InputError(f"{path}: names no class")
    return names
