"""What a checkpoint was fine-tuned with, as it says itself, and which clips it has seen."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from vitprune.data.excerpts import Excerpt, by_digest
from vitprune.errors import InputError

DESCRIPTION = "vitprune"
"""The key under which a checkpoint describes itself."""


@dataclass(frozen=True)
class Provenance:
    """What a checkpoint was fine-tuned with.

    Attributes:
        settings: of the fine-tuning, in JSON's types: ``model``, ``dataset`` and ``seed``.
        splits: name of a split -> digest of the list of its clips.
        trained_on: what the weights were fitted to.
        recovered: how a model was recovered each time that layers were dropped: settings of it,
            and which layers were gone by then.
    """

    settings: Mapping[str, Any]
    splits: Mapping[str, str]
    trained_on: Sequence[Excerpt] = field(repr=False)
    recovered: Sequence[Mapping[str, Any]] = ()

    def after(self, recovery: Mapping[str, Any], clips: Sequence[Excerpt]) -> Provenance:
        """The same of a model that was then recovered with ``clips``."""
        known = set(self.trained_on)
        added = [clip for clip in clips if clip not in known]
        return replace(
            self,
            trained_on=[*self.trained_on, *added],
            recovered=(*self.recovered, dict(recovery)),
        )

    def seen(self, excerpts: Sequence[Excerpt]) -> list[int]:
        """Which of ``excerpts`` overlap with what was trained on: their positions."""
        trained = by_digest(self.trained_on)
        return [
            i
            for i, excerpt in enumerate(excerpts)
            if any(map(excerpt.overlaps, trained.get(excerpt.digest, ())))
        ]

    def plain(self) -> dict[str, Any]:
        """As a checkpoint keeps it: plain types, which ``weights_only=True`` reads."""
        return {
            "settings": dict(self.settings),
            "splits": dict(self.splits),
            "trained_on": [list(excerpt) for excerpt in self.trained_on],
            "recovered": [dict(recovery) for recovery in self.recovered],
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Provenance:
        """What :meth:`plain` gave."""
        trained_on = [Excerpt(*parts) for parts in plain["trained_on"]]
        recovered = tuple(plain.get("recovered", ()))  # older checkpoints do not have it
        return cls(plain["settings"], plain["splits"], trained_on, recovered)


def seen_by_weights(path: str | Path) -> list[Excerpt]:
    """What weights that a fine-tuning begins with were trained on, if they are vitprune's own.

    Args:
        path: of ``model.weights``; those that others published are of other datasets.

    Raises:
        InputError: a checkpoint of vitprune that does not say it.
    """
    if not Path(path).is_file() or Path(path).suffix == ".safetensors":
        return []
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, ValueError, OSError, EOFError, pickle.UnpicklingError):
        return []  # read, or refused, by the model that takes them
    if not isinstance(checkpoint, dict) or DESCRIPTION not in checkpoint:
        return []
    plain = checkpoint[DESCRIPTION].get("provenance")
    if plain is None:
        raise InputError(
            f"model.weights={path} does not say which clips it was trained on, as an older "
            "version made it; begin with weights that do, or with published ones"
        )
    return list(Provenance.of(plain).trained_on)
