"""Files to clips: decoding, frame sampling, transforms, readers of layouts, the DataModules.

`base` is the DataModule that `ucf101` and `dai`, the readers of layouts, share; `dataset` an
item, `video` the decoder, `sampling` which frames, `transforms` crops and colours, `loading`
batches. `groups`, `recordings` and `excerpts` keep apart what splits must not share; `classes`
says which class is which; `options` and `inspection` refuse wrong arguments and unusable videos;
`boxes` reads where head, hands and objects are.
"""

from vitprune.data.base import VideoDataModule
from vitprune.data.boxes import boxes_in_clip, read_boxes
from vitprune.data.dai import DAIDataModule
from vitprune.data.dataset import Clip, ClipSpec, VideoDataset, Views
from vitprune.data.ucf101 import UCF101DataModule
from vitprune.data.reading import index_video, read_frames

__all__ = [
    "Clip",
    "ClipSpec",
    "DAIDataModule",
    "UCF101DataModule",
    "VideoDataModule",
    "VideoDataset",
    "Views",
    "boxes_in_clip",
    "index_video",
    "read_boxes",
    "read_frames",
]
