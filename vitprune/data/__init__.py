"""Files to clips: decoding, frame sampling, transforms, readers of layouts, the DataModules."""

from vitprune.data.base import VideoDataModule
from vitprune.data.boxes import boxes_in_clip, read_boxes
from vitprune.data.dai import DAIDataModule
from vitprune.data.dataset import Clip, ClipSpec, VideoDataset, Views
from vitprune.data.ucf101 import UCF101DataModule
from vitprune.data.video import index_video, read_frames

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
