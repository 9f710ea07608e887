"""The data of a job, ready to use."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vitprune.data import VideoDataModule
from vitprune.data.classes import read_class_map
from vitprune.data.groups import SplitName
from vitprune.data.inspection import check_videos
from vitprune.tasks.run import build
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Job

log = logging.getLogger(__name__)


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
    cfg: Job, data: VideoDataModule, splits: Sequence[SplitName], *, decode: bool = False
) -> None:
    """Find out before the work starts which videos cannot be read.

    With ``on_error=skip`` they are left out. What is only evaluated is then decoded here, so that
    nothing is found out later; of training clips other frames are shown in every epoch.

    Args:
        cfg: of the job.
        data: set up.
        splits: to look through.
        decode: whether the frames that evaluation shows are decoded, too; they are then kept.

    Raises:
        InputError: the first that cannot be read; with ``on_error=skip``, that none can.
    """
    remembered = Path(cfg.runs) / "cache" / "videos"
    skip = data.on_error == "skip"
    for split in dict.fromkeys(splits):
        # decoded clips are kept, but not yet where some may be left out
        keep = decode and not skip
        dataset = data.evaluation(split) if keep else data.splits[split]
        (found,) = check_videos([dataset], decode=decode, remembered=remembered, skip=skip)
        if found:
            data.leave_out(split, found)
            total = len(data.splits[split]) + len(found)
            log.warning(
                "%d of the %d clips of the %s split cannot be read and are left out: %s%s",
                len(found), total, split, "; ".join([*found.values()][:3]),
                "; ..." if len(found) > 3 else "",
            )  # fmt: skip
