"""DMD, the Driver Monitoring Dataset (Ortega et al., ECCV workshops 2020): distraction.

``<group>/<subject>/<session>/<group>_<subject>_<session>_<time>_rgb_{face,body,hands}.mp4`` and
beside them ``..._rgb_ann_distraction.json``, in OpenLABEL.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from vitprune.data.annotations import Annotation, in_order, numbered
from vitprune.data.base import VideoDataModule
from vitprune.data.dataset import Clip
from vitprune.data.groups import SplitName
from vitprune.data.options import choice
from vitprune.errors import InputError

Modality = Literal["rgb", "ir"]
VIEWS = ("face", "body", "hands")
ENDING = "_rgb_ann_distraction.json"
LEVEL = "driver_actions/"


class DMDDataModule(VideoDataModule):
    """DMD. A clip is an interval of one of the ``driver_actions``, as one camera has it.

    Annotations count the frames of all cameras together, from that which started first; a camera's
    own frames begin ``sync.frame_shift`` later, and the part of an interval that it did not record
    is left out of its clip. Intervals include their last frame. There are no official splits:
    subjects, ``gA_1``, make them.

    Args:
        modality: ``rgb`` or ``ir``.
        options: see :class:`~vitprune.data.base.VideoDataModule`.
    """

    def __init__(self, *, modality: Modality = "rgb", **options: Any) -> None:
        super().__init__(**options)
        self.modality = choice("modality", modality, get_args(Modality))

    def read_layout(self) -> tuple[list[str], dict[SplitName, list[Clip]]]:
        """See the base; the classes are sorted."""
        inside = self.root / "dmd"  # the archives' own folder
        root = inside if inside.is_dir() else self.root
        files = sorted(root.glob(f"*/*/*/*{ENDING}"))
        if not files:
            raise InputError(f"{root}: has no <group>/<subject>/<session>/*{ENDING}")
        views = self.views_among(VIEWS)
        rows = [row for path in files for row in self._read(path, views)]
        class_names = in_order(row.label for row in rows)
        return class_names, numbered({"train": rows}, class_names, self.wrong, "is unknown")

    def _read(self, path: Path, views: list[str]) -> list[Annotation]:
        actions: list[tuple[str, str, Mapping[str, Any]]] = []
        late: dict[str, tuple[int, int | None]] = {}
        with self.each():
            label = _openlabel(path)
            actions, late = list(_actions(label, path)), _delays(label, path)
        who = "_".join(path.parts[-4:-2])
        found = []
        for name, where, interval in actions:
            with self.each():
                first, last = _ends(interval, where)
                for view in views:
                    stem = path.name.removesuffix(ENDING)
                    video = path.with_name(f"{stem}_{self.modality}_{view}.mp4")
                    delay, length = late[view]
                    start = max(0, first - delay)
                    end = min(last + 1 - delay, length or last + 1)
                    if start < end:
                        clip = Clip(video, -1, start, end, group=who, view=view, unit="frames")
                        found.append(Annotation(clip, name, where))
        return found


def _openlabel(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: is no JSON file in UTF-8 ({error})") from error
    if not isinstance(content, Mapping) or not isinstance(content.get("openlabel"), Mapping):
        has = ", ".join(content) if isinstance(content, Mapping) else "no object"
        raise InputError(f"{path}: is not in OpenLABEL: has {has} instead of 'openlabel'")
    return content["openlabel"]


def _delays(label: Mapping[str, Any], path: Path) -> dict[str, tuple[int, int | None]]:
    """Of each view, by how many frames it started after the first, and how many it has."""
    shifts, lengths = {"face": 0}, {}
    for view in VIEWS:
        where = f"{path}: streams.{view}_camera.stream_properties"
        stream = label.get("streams", {}).get(f"{view}_camera", {})
        properties = stream.get("stream_properties", {})
        shift = properties.get("sync", {}).get("frame_shift", shifts.get(view))
        if type(shift) is not int:
            raise InputError(f"{where}.sync.frame_shift is {shift!r}, not a number of frames")
        shifts[view], lengths[view] = shift, properties.get("total_frames")
        if lengths[view] is not None and type(lengths[view]) is not int:
            raise InputError(f"{where}.total_frames is {lengths[view]!r}, not a number of frames")
    first = min(shifts.values())
    return {view: (shifts[view] - first, lengths[view]) for view in VIEWS}


def _actions(label: Mapping[str, Any], path: Path) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """The class of every interval, where it stands, and the interval."""
    actions = label.get("actions")
    if not isinstance(actions, Mapping):
        raise InputError(f"{path}: openlabel has no actions")
    for number, action in actions.items():
        kind = str(action.get("type", ""))
        if kind.startswith(LEVEL):
            for i, interval in enumerate(action.get("frame_intervals", ())):
                where = f"{path}, action {number} ({kind}), interval {i}"
                yield kind.removeprefix(LEVEL), where, interval


def _ends(interval: Mapping[str, Any], where: str) -> tuple[int, int]:
    """The first frame of an interval and its last."""
    first, last = interval.get("frame_start"), interval.get("frame_end")
    if type(first) is not int or type(last) is not int or not 0 <= first <= last:
        raise InputError(
            f"{where}: frame_start {first!r} and frame_end {last!r} are not the numbers of its "
            "first and last frame"
        )
    return first, last
