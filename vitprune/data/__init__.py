"""Files to clips: decoding, frame sampling, transforms, readers of layouts, the DataModules.

`base` is the DataModule that the readers of layouts share: `ucf101`, `hmdb51`, `dai`,
`drive_and_act`, `dmd`, `ai_city`, `three_mdad`, with what they find in `annotations`. `dataset` is
an item, `source` what a video offers, `video` and `frames` the sources of files and of folders,
`reading` finds the source of a path. Of files, `packets` tells which packet gives which frame (with
`announced`, `matroska`, `transport` and `droppable`), `stream` opens and decodes, and `encoding`
writes them. `index_store` and `clip_store` keep what was found and decoded, and `readable` lets
training go on without what cannot be read. `sampling` says which frames, `framing` which part of
them, `transforms` crops and colours, `loading` batches. `groups`, `recordings` and `excerpts` keep
apart what splits must not share; `classes` says which class is which; `options` and `inspection`
refuse wrong arguments and unusable videos; `survey` looks at a whole dataset, `check` is the
command that does; `boxes` reads where head, hands and objects are.

What is named here is imported when it is asked for: `video`, `sampling` and `framing` need no
torch, and who reads videos for an exported model has none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitprune.data.ai_city import AICityDataModule
    from vitprune.data.base import VideoDataModule
    from vitprune.data.boxes import boxes_in_clip, read_boxes
    from vitprune.data.dai import DAIDataModule
    from vitprune.data.dataset import Clip, ClipSpec, VideoDataset, Views
    from vitprune.data.dmd import DMDDataModule
    from vitprune.data.drive_and_act import DriveAndActDataModule
    from vitprune.data.hmdb51 import HMDB51DataModule
    from vitprune.data.reading import index_video, read_frames
    from vitprune.data.three_mdad import ThreeMDADDataModule
    from vitprune.data.ucf101 import UCF101DataModule

__all__ = [
    "AICityDataModule",
    "Clip",
    "ClipSpec",
    "DAIDataModule",
    "DMDDataModule",
    "DriveAndActDataModule",
    "HMDB51DataModule",
    "ThreeMDADDataModule",
    "UCF101DataModule",
    "VideoDataModule",
    "VideoDataset",
    "Views",
    "boxes_in_clip",
    "index_video",
    "read_boxes",
    "read_frames",
]

_PLACES = {
    "AICityDataModule": "ai_city",
    "VideoDataModule": "base",
    "boxes_in_clip": "boxes",
    "read_boxes": "boxes",
    "DAIDataModule": "dai",
    "Clip": "dataset",
    "ClipSpec": "dataset",
    "VideoDataset": "dataset",
    "Views": "dataset",
    "DMDDataModule": "dmd",
    "DriveAndActDataModule": "drive_and_act",
    "HMDB51DataModule": "hmdb51",
    "index_video": "reading",
    "read_frames": "reading",
    "ThreeMDADDataModule": "three_mdad",
    "UCF101DataModule": "ucf101",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
