"""3MDAD (Jegham et al., Signal Processing: Image Communication 88, 2020): folders of frames.

``{side,front}_view_{day,night}_data/{RGB,Depth,IR}{1,2}/S<n>/AC<m>/``, 1 for the side view and 2
for the front view, S the subject and AC the action. RGB is of the day, IR of the night.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args

from vitprune.data.base import VideoDataModule
from vitprune.data.dataset import Clip
from vitprune.data.frames import pictures_in
from vitprune.data.groups import SplitName
from vitprune.data.options import choice
from vitprune.errors import InputError

Time = Literal["day", "night"]
Modality = Literal["rgb", "depth", "ir"]
VIEWS = ("side", "front")
FOLDERS = {"rgb": "RGB", "depth": "Depth", "ir": "IR"}
CLASSES = (
    "safe driving", "doing hair and makeup", "adjusting radio", "GPS operating",
    "writing message using right hand", "writing message using left hand",
    "talking phone using right hand", "talking phone using left hand", "having picture",
    "talking to passenger", "singing or dancing", "fatigue and somnolence",
    "drinking using right hand", "drinking using left hand", "reaching behind", "smoking",
)  # fmt: skip
"""The actions AC1 to AC16."""
FRAME = re.compile(r"SUB(\d+)ACT(\d+)F\d+", re.IGNORECASE)


class ThreeMDADDataModule(VideoDataModule):
    """3MDAD. Subjects make the splits, as there are no official ones.

    All cameras recorded an action at once, so its folders are about equally long in every view and
    modality. Where two actions of a subject are so only crosswise, as AC9 and AC10 of subject 31
    are in the published data, one pair of folders is swapped, and both actions are refused. So are
    folders whose frames are named for another subject or action.

    Args:
        time: ``day`` or ``night``.
        modality: ``rgb`` (by day), ``ir`` (by night) or ``depth``.
        options: see :class:`~vitprune.data.base.VideoDataModule`.
    """

    def __init__(self, *, time: Time = "day", modality: Modality = "rgb", **options: Any) -> None:
        super().__init__(**options)
        self.time = choice("time", time, get_args(Time))
        self.modality = choice("modality", modality, get_args(Modality))

    def read_layout(self) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """See the base; the classes are the sixteen actions in their order."""
        folders = {view: self._folder(view, self.modality) for view in VIEWS}
        known = [view for view, folder in folders.items() if folder.is_dir()]
        if not known:
            raise InputError(
                f"{self.root} has neither {folders['side'].relative_to(self.root)}/ nor "
                f"{folders['front'].relative_to(self.root)}/; dataset.time is {self.time} and "
                f"dataset.modality {self.modality}"
            )
        clips = []
        for view in self.views_among(known):
            lengths: dict[Path, int] = {}
            for path in _actions(folders[view]):
                with self.each():
                    lengths[path] = _length(path)
            for path in lengths:
                with self.each():
                    self._check_swapped(path, lengths)
                    number = int(path.name[2:])
                    clips.append(Clip(path, number - 1, group=path.parent.name, view=view))
        return list(CLASSES), {"train": clips}

    def _folder(self, view: str, modality: str) -> Path:
        number = VIEWS.index(view) + 1
        return self.root / f"{view}_view_{self.time}_data" / f"{FOLDERS[modality]}{number}"

    def _check_swapped(self, path: Path, lengths: dict[Path, int]) -> None:
        """Compare the folder's length with the same action's in other views and modalities."""
        subject, own = path.parent.name, lengths[path]
        for view in VIEWS:
            for modality in FOLDERS:
                other = self._folder(view, modality) / subject
                if other == path.parent or abs(_count(other / path.name) - own) <= 2:
                    continue
                for twin, length in lengths.items():
                    if (
                        twin.parent == path.parent
                        and twin != path
                        and _count(other / path.name) == length
                        and _count(other / twin.name) == own
                    ):
                        raise InputError(
                            f"{path}: has {own} frames and {twin.name} has {length}, but in "
                            f"{other.relative_to(self.root)} it is the other way round: one of "
                            "both is swapped; look which, and give these two folders each "
                            "other's name"
                        )


def _actions(folder: Path) -> Iterator[Path]:
    """The folders S<n>/AC<m> that there are, in the order of their numbers."""
    found = [p for p in folder.glob("S*/AC*") if p.parent.name[1:].isdecimal() and p.is_dir()]
    wrong = [p for p in found if not (p.name[2:].isdecimal() and 1 <= int(p.name[2:]) <= 16)]
    if wrong:
        raise InputError(f"{wrong[0]}: is no action; they are AC1 to AC{len(CLASSES)}")
    if not found:
        raise InputError(f"{folder}: has no S<subject>/AC<action>/")
    yield from sorted(found, key=lambda p: (int(p.parent.name[1:]), int(p.name[2:])))


def _length(path: Path) -> int:
    """How many frames a folder has, all of them of its subject and action."""
    pictures = pictures_in(path)
    named = Counter(match.groups() for p in pictures if (match := FRAME.search(p.name)))
    own = path.parent.name[1:], path.name[2:]
    for (subject, action), count in named.items():
        if (subject, action) != own:
            raise InputError(
                f"{path}: {count} of its {len(pictures)} frames are named for subject {subject}, "
                f"action {action}; put them into S{subject}/AC{action}, or correct their names"
            )
    return len(pictures)


def _count(path: Path) -> int:
    try:
        return len(pictures_in(path))
    except InputError:
        return 0
