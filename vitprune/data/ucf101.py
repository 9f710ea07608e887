"""UCF101 (Soomro et al., arXiv:1212.0402) in its official layout and its three splits.

``UCF-101/<Class>/v_<Class>_gXX_cYY.avi`` and
``ucfTrainTestlist/{classInd,trainlist0N,testlist0N}.txt``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar

from vitprune.data.base import SplitName, VideoDataModule
from vitprune.data.dataset import Clip
from vitprune.data.groups import held_out_groups
from vitprune.errors import InputError

GROUP = re.compile(r"_g(\d+)_c\d+\.\w+$")


class UCF101DataModule(VideoDataModule):
    """UCF101. Its validation split is made of whole groups, taken out of the training list.

    The same group numbers in every class; so no clip is validated on whose person and place are
    trained on. See :class:`~vitprune.data.base.VideoDataModule` for the arguments.
    """

    layout: ClassVar[str] = "ucf101"
    official_splits: ClassVar[tuple[int, ...]] = (1, 2, 3)

    def read_layout(self) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """See the base; the classes are in the order of classInd.txt."""
        lists = self.root / "ucfTrainTestlist"
        class_names = read_classes(lists / "classInd.txt")
        train_list = lists / f"trainlist0{self.split}.txt"
        training = self._read_list(train_list, class_names)
        test = self._read_list(lists / f"testlist0{self.split}.txt", class_names)
        trained = {(clip.label, clip.group) for clip in training}
        for clip in test:
            if (clip.label, clip.group) in trained:
                raise InputError(
                    f"{lists}: group {clip.group} of {class_names[clip.label]} is in both "
                    f"trainlist0{self.split}.txt and testlist0{self.split}.txt; "
                    "a group must be in one of them"
                )
        clips = self.present({"train": training, "val": [], "test": test})
        if not clips["train"]:
            raise InputError(f"{train_list}: names no clip that is there")
        members = [(clip.group, clip.label) for clip in clips["train"]]
        held_out = held_out_groups(members, self.val_fraction, self.val_seed, str(train_list))
        return class_names, {
            "train": [clip for clip in clips["train"] if clip.group not in held_out],
            "val": [clip for clip in clips["train"] if clip.group in held_out],
            "test": clips["test"],
        }

    def _read_list(self, path: Path, class_names: list[str]) -> list[Clip]:
        """The clips of a list; a training list has labels (from 1), which must fit."""
        labels = {name: i for i, name in enumerate(class_names)}
        clips = []
        for number, line in enumerate(_lines(path), 1):
            if not line:
                continue
            file, *rest = line.split()
            where = f"{path}, line {number}"
            # the directory names the class: in HandstandPushups, the files spell it differently
            name = file.partition("/")[0]
            group = GROUP.search(file)
            if not group or name == file:
                raise InputError(
                    f"{where}: {file!r} is not of the form <Class>/v_<Class>_gXX_cYY.avi"
                )
            if name not in labels:
                raise InputError(f"{where}: class {name!r} is not in classInd.txt")
            if rest and rest != [str(labels[name] + 1)]:
                raise InputError(
                    f"{where}: {name} has label {' '.join(rest)}, "
                    f"but number {labels[name] + 1} in classInd.txt"
                )
            clips.append(
                Clip(self.root / "UCF-101" / file, labels[name], group=f"g{int(group[1]):02d}")
            )
        return clips


def read_classes(path: Path) -> list[str]:
    """The names in classInd.txt, lines of ``1 ApplyEyeMakeup`` numbered from 1, in its order."""
    names: list[str] = []
    for number, line in enumerate(_lines(path), 1):
        if not line:
            continue
        fields = line.split()
        if len(fields) != 2 or fields[0] != str(len(names) + 1) or fields[1] in names:
            raise InputError(
                f"{path}, line {number}: {line!r}; it should be '{len(names) + 1} <Class>', "
                "every class once"
            )
        names.append(fields[1])
    if not names:
        raise InputError(f"{path}: names no class")
    return names


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); it is in UCF101's "
            "UCF101TrainTestSplits-RecognitionTask.zip"
        ) from error
