"""The data of a job, ready to use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitprune.data import VideoDataModule
from vitprune.data.classes import read_class_map
from vitprune.data.inspection import check_videos
from vitprune.tasks.run import build
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Job


def build_data(
    cfg: Job, classifier: VideoClassifier | None = None, *, same_classes: bool = True
) -> VideoDataModule:
    """The data of ``cfg.dataset``, ready to use; clips are taken as ``classifier`` wants them.

    Raises:
        InputError: the data are not as they should be, or their classes are not the classifier's.
    """
    node = cfg.dataset.node()
    if classifier is not None:
        node |= classifier.clip_settings
    data: VideoDataModule = build("dataset", node, cache=str(Path(cfg.runs) / "cache"))
    data.prepare_data()
    data.setup()
    if classifier is not None and same_classes:
        names = read_class_map(cfg.class_map) if cfg.class_map else None
        data.use_classes(classifier.class_names, names)
    return data


def look_through(
    cfg: Job, data: VideoDataModule, splits: Sequence[str], *, decode: bool = False
) -> None:
    """Find out before the work starts which videos cannot be read.

    Args:
        cfg: of the job.
        data: set up.
        splits: to look through.
        decode: whether the frames that evaluation shows are decoded, too; they are then kept.
    """
    remembered = Path(cfg.runs) / "cache" / "videos"
    datasets = [data.evaluation(name) if decode else data.splits[name] for name in splits]
    check_videos(datasets, decode=decode, remembered=remembered)
