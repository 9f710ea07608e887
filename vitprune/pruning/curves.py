"""Top-1 over the number of dropped layers, for every way to order the layers, in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor

from vitprune.importance import ablate_sets
from vitprune.models.chain import VideoTransformer, drop_layers
from vitprune.models.finite import check_logits, names_of
from vitprune.results.curves import Order
from vitprune.training.classifier import VideoClassifier
from vitprune.training.per_video import PerVideo

Batches = Callable[[], Iterable[Mapping[str, Any]]]


def random_orders(layers: Sequence[int], *, draws: int, seed: int) -> list[list[int]]:
    """Random orders of all but one of the ``layers``, the control for a curve."""
    draw = np.random.default_rng(seed)
    return [draw.permutation(list(layers))[:-1].tolist() for _ in range(draws)]


class HitsPerVideo(PerVideo):
    """Whether each of several models is right about each video."""

    def update(self, video: Tensor, hits: Tensor) -> None:
        """Adds a batch: ``video`` [B], and ``hits`` [B, W], of W models."""
        self.add(video, hits)

    def compute(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The videos' numbers [N], ascending, and their hits [N, W]."""
        video, hits = self.by_video()
        return video.numpy(), hits.bool().numpy()


class DropCurves(pl.Callback):
    """Evaluates, along with ``trainer.test``, the model without the first 0, 1, ... of some layers.

    The models share what they have in common (see :func:`vitprune.importance.ablate_sets`), and
    all see the same clips: once those of the validation split, when the test begins, and once
    those of the test split. The results are in :attr:`val` and :attr:`test`.

    Args:
        orders: gives the orders in which layers go; called when the test begins, after the
            callbacks that are listed before this one.
        validation: gives batches of the validation split, in a process group each process's share.
    """

    def __init__(self, orders: Callable[[], Sequence[Order]], validation: Batches) -> None:
        self._make_orders = orders
        self._validation = validation
        self.orders: Sequence[Order] = ()
        self._found: dict[str, tuple[NDArray[np.int64], NDArray[np.bool_]]] = {}

    @property
    def val(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The validation videos' numbers [N], and which are right: bool [orders, L, N].

        The second axis is the number of dropped layers, 0 to L - 1 of L.

        Raises:
            RuntimeError: the test has not been run.
        """
        return self._of("val")

    @property
    def test(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The same of the test videos."""
        return self._of("test")

    def _of(self, split: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        if split not in self._found:
            raise RuntimeError("no curves yet: run trainer.test with this callback first")
        videos, hits = self._found[split]
        place = {layers: i for i, layers in enumerate(self._sets)}
        columns = [[place[layers] for layers in order.prefixes()] for order in self.orders]
        return videos, hits.T[np.array(columns)]

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, VideoClassifier)
        self.orders = self._make_orders()
        prefixes = {layers for order in self.orders for layers in order.prefixes()}
        self._sets = sorted(prefixes, key=lambda layers: (len(layers), sorted(layers)))
        self._hits = HitsPerVideo(len(self._sets)).to(pl_module.device)
        like = next(pl_module.parameters())
        hidden = not trainer.is_global_zero
        for batch in track(self._validation(), "curves, val", disable=hidden):
            there = {key: batch[key].to(like.device) for key in ("video", "label")}
            self._add(trainer, pl_module, {**batch, **there, "clips": batch["clips"].to(like)})
        self._found["val"] = self._hits.compute()
        self._hits.reset()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert isinstance(pl_module, VideoClassifier)
        self._add(trainer, pl_module, batch)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._found["test"] = self._hits.compute()

    def _add(
        self, trainer: pl.Trainer, classifier: VideoClassifier, batch: Mapping[str, Any]
    ) -> None:
        clips, model = batch["clips"], classifier.model
        with trainer.precision_plugin.forward_context():
            logits = ablate_sets(model, clips.flatten(0, 1), self._sets)
            if not logits.isfinite().all():
                self._refuse(model, clips.flatten(0, 1), logits, names_of(batch))
        views = logits.float().softmax(-1).unflatten(1, clips.shape[:2])
        hits = views.mean(2).argmax(-1) == batch["label"]
        self._hits.update(batch["video"], hits.T)

    def _refuse(
        self, model: VideoTransformer, clips: Tensor, logits: Tensor, names: Sequence[str] | None
    ) -> None:
        for layers, found in zip(self._sets, logits, strict=True):
            smaller = drop_layers(model, sorted(layers)) if layers else model
            with torch.no_grad():
                check_logits(found, smaller, clips, names)
