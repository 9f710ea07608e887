"""Training goes on without clips that turn out to be unreadable, and repeats no other for them."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Dataset

from vitprune.data.dataset import VideoDataset
from vitprune.errors import InputError


class Readable(Dataset[dict[str, Any]]):
    """Items of a dataset; one that cannot be read says so, under ``unread``, and is left out later.

    A worker cannot take an item out of its batch without another process hearing of it; so it goes
    into the batch with clips of zeros, and :meth:`kept` takes it out.

    Args:
        dataset: whose items these are; one view each.

    Attributes:
        unread: what is wrong with each clip that was left out, by number; in the process that
            iterates, not in its workers.
    """

    def __init__(self, dataset: VideoDataset) -> None:
        self.dataset = dataset
        self.unread: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: int | tuple[int, int]) -> dict[str, Any]:
        try:
            return {**self.dataset[item], "unread": ""}
        except InputError as error:
            number = item[0] if isinstance(item, tuple) else item
            spec = self.dataset.spec
            size = (1, 3, spec.num_frames, spec.image_size, spec.image_size)
            return {
                "clips": torch.zeros(size),
                "label": self.dataset.clips[number].label,
                "video": number,
                "name": self.dataset.name(number),
                "unread": str(error),
            }

    def kept(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch without what could not be read; there may be nothing left in it."""
        wrong = batch.pop("unread")
        if not any(wrong):
            return batch
        self.unread |= {
            n: line for n, line in zip(batch["video"].tolist(), wrong, strict=True) if line
        }
        keep = [i for i, line in enumerate(wrong) if not line]
        return {
            key: [value[i] for i in keep] if isinstance(value, list | tuple) else _at(value, keep)
            for key, value in batch.items()
        }


def _at(value: Any, places: list[int]) -> Any:
    return value[places] if isinstance(value, torch.Tensor) else value
