"""Batches that are kept in memory."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from vitprune.data.loading import KeptBatches


class Loader:
    """Three batches of 40 bytes, and how often they were read."""

    def __init__(self) -> None:
        self.read = 0

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self.read += 1
        for i in range(3):
            yield {"clips": torch.full((8,), float(i)), "label": torch.tensor([i]), "name": ["a"]}


@pytest.mark.parametrize(("most_bytes", "read"), [(120, 1), (119, 3), (0, 3)])
def test_batches_are_read_once_where_they_fit(most_bytes: int, read: int) -> None:
    loader = Loader()
    kept = KeptBatches(loader, most_bytes)
    assert len(kept) == 3
    for _ in range(3):
        assert [batch["label"].item() for batch in kept] == [0, 1, 2]
    assert loader.read == read


def test_what_was_read_in_part_is_not_kept() -> None:
    loader = Loader()
    kept = KeptBatches(loader)
    next(iter(kept))
    assert [batch["label"].item() for batch in kept] == [0, 1, 2]
    assert loader.read == 2
