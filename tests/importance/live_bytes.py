"""How much memory a computation needs, found without doing it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storages that come into being inside, while they live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.live: dict[int, int] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        given = {x.untyped_storage()._cdata for x in tree_iter((args, kwargs)) if is_tensor(x)}
        result = function(*args, **(kwargs or {}))
        for tensor in filter(is_tensor, tree_iter(result)):
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in given and key not in self.live:
                self.live[key] = storage.nbytes()
                self.now += self.live[key]
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, key)
        return result

    def _free(self, key: int) -> None:
        self.now -= self.live.pop(key)


def is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def peak_bytes(run: Callable[[], object]) -> int:
    """The most bytes that ``run`` holds at once, inputs and parameters not counted."""
    with LiveBytes() as counter:
        run()
    return counter.peak
