"""``evaluate.py ckpt=DIR runtime=onnx``: a bundle, beside the checkpoint that it was made of."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from vitprune.deploy import Bundle
from vitprune.deploy.description import DESCRIPTION
from vitprune.deploy.module import classifier_of
from vitprune.deploy.timing import clocked, latencies
from vitprune.files import file_digest
from vitprune.models.finite import names_of
from vitprune.pruning.comparison import PairedAccuracy
from vitprune.training import VideoClassifier
from vitprune.training.classifier import at_once_of, view_probabilities

log = logging.getLogger(__name__)

TORCH = "torch"
"""What the checkpoint is called beside the bundle."""


class RunBundle(pl.Callback):
    """A bundle in the place of a checkpoint.

    As a callback of its test it has the checkpoint answer the same clips, if that is still there.

    Args:
        directory: of the bundle.
        runtime: which of its models; None for the first that can be run.
        precision: of it; None for the first that there is.

    Attributes:
        path: of what describes the bundle, whose digest stands for it.
        classifier: what is tested.

    Raises:
        InputError: it cannot be run.
    """

    def __init__(self, directory: Path, runtime: str | None, precision: str | None) -> None:
        self.bundle = Bundle.load(directory, runtime, precision=precision)
        self.path = directory / DESCRIPTION
        self.classifier = classifier_of(self.bundle)
        self._original = self._checkpoint()

    def _checkpoint(self) -> VideoClassifier | None:
        provenance = self.bundle.description.provenance
        named = Path(provenance.get("ckpt", ""))
        for path in (named, self.bundle.directory.parent / named.name):  # where both were moved
            if path.is_file() and file_digest(path) == provenance["ckpt_digest"]:
                clips = self.classifier.clip_settings  # perhaps a cheaper input than its own
                original = VideoClassifier.load(path)
                return original.at_input(clips["num_frames"], clips["image_size"])
        log.info("The checkpoint that %s was made of is not there", self.bundle.directory)
        return None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._paired = PairedAccuracy((TORCH, "bundle")).to(pl_module.device)
        self._furthest = 0.0
        if self._original is not None:
            self._original.to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._original is None:
            return
        own = outputs["probabilities"]
        theirs = view_probabilities(
            self._original.model, batch["clips"], names_of(batch), at_once_of(batch)
        )
        self._furthest = max(self._furthest, float((own - theirs).abs().max()))
        self._paired.update(batch["video"], batch["label"], theirs, own)

    def described(self) -> dict[str, Any]:
        """What ``results.json`` says of it.

        Returns:
            ``runtime`` and ``precision``; and where the checkpoint is there, its figures under
            ``torch``, ``paired`` with the bundle's, and the largest difference of a probability
            in this process, ``deviation``.
        """
        opened = self.bundle.opened
        found: dict[str, Any] = {"runtime": opened.runtime, "precision": opened.precision}
        if self._original is None:
            return found
        answers = self._paired.compute()
        return {
            **found,
            TORCH: answers.models[TORCH].accuracy(),
            "paired": answers.paired(TORCH, "bundle"),
            "deviation": self._furthest,
        }

    def cost(self, clip: Tensor) -> dict[str, Any]:
        """As :class:`vitprune.pruning.Cost` has it, of the bundle's model on its runtime.

        Args:
            clip: [1, 3, T, H, W].
        """
        description = self.bundle.description
        with torch.inference_mode():
            found = latencies({TORCH: clocked(lambda: self.bundle(clip))}, seconds=2.0)
        return {
            "parameters": description.model["parameters"],
            "checkpoint_bytes": self.bundle.opened.bytes,
            "flops": description.provenance.get("flops"),
            "latency_ms": found[TORCH][0],
        }


def beside_torch(found: Mapping[str, Any]) -> dict[str, str]:
    """:meth:`RunBundle.described` for the terminal."""
    lines = {"Runtime": f"{found['runtime']}, {found['precision']}"}
    if TORCH not in found:
        return lines
    paired = found["paired"]
    return {
        **lines,
        "  Top-1 of the checkpoint": f"{100 * found[TORCH]['top1']:.2f} %",
        "  right to wrong, wrong to right": (
            f"{paired['right_to_wrong']}, {paired['wrong_to_right']}"
        ),
        "  largest difference of a probability": f"{found['deviation']:.1e}",
    }
