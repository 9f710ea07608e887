"""Checkpoint files, and what of them is a state dict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from vitprune.errors import InputError
from vitprune.models.formats import State

WRAPPERS = ("state_dict", "model_state", "model", "module")
"""Keys under which training code keeps the state dict beside its optimizer: Lightning and
OpenMMLab, PySlowFast and TimeSformer, DeiT, DeepSpeed."""

DESCRIPTION = "vitprune"
"""The key under which vitprune's own checkpoints describe themselves."""


@dataclass(frozen=True)
class Checkpoint:
    """A state dict as it was saved, and the file that it was in.

    ``description`` is what vitprune's own checkpoints say of themselves; empty for others.
    """

    path: Path
    state: State
    description: Mapping[str, Any]


def read(path: Path) -> Checkpoint:
    """Read a file of torch.save, only weights (no code of the file is run), or of safetensors.

    Raises:
        InputError: the file is missing, cannot be read, or holds no state dict.
    """
    if not path.is_file():
        raise InputError(
            f"model.weights={path}: there is no such file; it takes kinetics400 or a checkpoint"
        )
    try:
        content = load_file(path) if _is_safetensors(path) else _load(path)
    except Exception as error:  # a damaged pickle can raise anything
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise InputError(
                f"{path} holds more than weights ({found[1]}) and is not unpickled, as that could "
                "run code from it; if you trust it, save its state dict alone"
            ) from error
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) cannot be read: truncated, or neither a file "
            "of torch.save nor of safetensors"
        ) from error
    return _unwrap(path, content)


def listed(names: Sequence[str], most: int = 4) -> str:
    """A few of many names, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _load(path: Path) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _is_safetensors(path: Path) -> bool:
    # The header is its own length in 8 bytes, then JSON; torch.save writes a zip or a pickle.
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _unwrap(path: Path, content: Any) -> Checkpoint:
    """Find the state dict in what a file holds."""
    description: Mapping[str, Any] = {}
    if isinstance(content, Mapping):
        description = content.get(DESCRIPTION, {})
        content = next((content[key] for key in WRAPPERS if key in content), content)
    if not isinstance(content, Mapping):
        raise InputError(f"{path} holds no state dict, but a {type(content).__name__}")
    if not content or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items()
    ):
        keys = listed([str(key) for key in content]) or "nothing"
        raise InputError(f"{path} holds no state dict, but {keys}")
    return Checkpoint(path, {_unwrapped(k): v for k, v in content.items()}, description)


def _unwrapped(key: str) -> str:
    """Without what DistributedDataParallel and torch.compile put into the names."""
    return key.removeprefix("module.").replace("_orig_mod.", "")
