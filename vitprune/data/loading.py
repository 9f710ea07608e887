"""Datasets to batches: the same ones for the same seed, and errors in one line."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from vitprune.errors import InputError


class SeededSampler(Sampler[tuple[int, int]]):
    """Shuffles, and gives every item a seed of its own: yields (number, seed).

    So what an epoch consists of depends on the seed and on how many epochs came before it, but
    neither on the number of workers nor on who else draws random numbers.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size = size
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch. Lightning calls this, also when it resumes a training."""
        self.generator.manual_seed(self.seed)
        for _ in range(epoch):
            self._draw()

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order, seeds = self._draw()
        yield from zip(order.tolist(), seeds.tolist(), strict=True)

    def _draw(self) -> tuple[Tensor, Tensor]:
        order = torch.randperm(self.size, generator=self.generator)
        return order, torch.randint(2**62, (self.size,), generator=self.generator)


STANDARD = multiprocessing.get_all_start_methods()
"""Ways to start a process, this platform's usual one first."""


class VideoLoader(DataLoader[dict[str, Any]]):
    """A DataLoader that takes the worker's traceback off an :class:`InputError`.

    Its workers are started as on any process of this platform, also in one of joblib's, whose own
    way of starting processes DataLoader does not know.

    Args:
        dataset: of what.
        num_workers: how many processes decode; 0 for this one.
        options: further ones of DataLoader.
    """

    def __init__(self, dataset: Dataset[Any], *, num_workers: int = 0, **options: Any) -> None:
        start = multiprocessing.get_start_method(allow_none=True)
        if num_workers and start is not None and start not in STANDARD:
            options.setdefault("multiprocessing_context", STANDARD[0])
        super().__init__(dataset, num_workers=num_workers, **options)

    def __iter__(self) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except InputError as error:
            error.__traceback__ = None  # it holds the workers, which would linger
            line = str(error).strip().splitlines()[-1]
        else:
            return
        raise InputError(line.removeprefix("vitprune.errors.InputError: "))


KEPT = 2**30
"""Bytes of batches that are kept in memory, rather than decoded again."""


class KeptBatches:
    """The batches of a loader: the first time from the loader, then from memory where they fit.

    Args:
        loader: gives the same batches every time.
        most_bytes: if their tensors take more, none is kept and every time is the first.
    """

    def __init__(self, loader: Iterable[dict[str, Any]], most_bytes: int = KEPT) -> None:
        self._loader = loader
        self._most_bytes = most_bytes
        self._kept: list[dict[str, Any]] | None = None

    def __len__(self) -> int:
        return len(self._loader)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self._kept is not None:
            yield from self._kept
            return
        kept: list[dict[str, Any]] = []
        room = self._most_bytes
        for batch in self._loader:
            room -= sum(x.nbytes for x in batch.values() if isinstance(x, Tensor))
            if room >= 0:
                kept.append(batch)
            else:
                kept.clear()
            yield batch
        if room >= 0:
            self._kept = kept
