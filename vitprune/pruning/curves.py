"""Top-1 over the number of dropped units, for every way to order the units, in one pass."""

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
from vitprune.models.chain import VideoTransformer
from vitprune.models.dropping import drop_units
from vitprune.models.finite import check_logits, names_of
from vitprune.results.curves import Order
from vitprune.training.classifier import VideoClassifier, at_once_of
from vitprune.training.per_video import HitsPerVideo

Batches = Callable[[], Iterable[Mapping[str, Any]]]


def random_orders(units: Sequence[Any], *, draws: int, seed: int) -> list[list[Any]]:
    """Random orders of all but one of the ``units``, the control for a curve."""
    draw = np.random.default_rng(seed)
    return [[units[i] for i in draw.permutation(len(units))[:-1]] for _ in range(draws)]


class DropCurves(pl.Callback):
    """Evaluates, along with ``trainer.test``, the model without the first 0, 1, ... of some units.

    The models share what they have in common (see :func:`vitprune.importance.ablate_sets`), and
    all see the same clips: once those of the validation split, when the test begins, and once
    those of the test split. The results are in :attr:`val` and :attr:`test`.

    Args:
        orders: gives the orders in which units go; called when the test begins, after the
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
        """The validation videos' numbers [N], and which are right: bool [orders, U, N].

        The second axis is the number of dropped units, 0 to U - 1 of U.

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
        place = {units: i for i, units in enumerate(self._sets)}
        columns = [[place[units] for units in order.prefixes()] for order in self.orders]
        return videos, hits.T[np.array(columns)]

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, VideoClassifier)
        self.orders = self._make_orders()
        prefixes = {units for order in self.orders for units in order.prefixes()}
        self._sets = sorted(prefixes, key=lambda units: (len(units), sorted(units)))
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
        flat = clips.flatten(0, 1)
        with trainer.precision_plugin.forward_context():
            parts = flat.split(at_once_of(batch) or len(flat))
            logits = torch.cat([ablate_sets(model, part, self._sets) for part in parts], dim=1)
            if not logits.isfinite().all():
                self._refuse(model, flat, logits, names_of(batch))
        views = logits.float().softmax(-1).unflatten(1, clips.shape[:2])
        hits = views.mean(2).argmax(-1) == batch["label"]
        self._hits.update(batch["video"], hits.T)

    def _refuse(
        self, model: VideoTransformer, clips: Tensor, logits: Tensor, names: Sequence[str] | None
    ) -> None:
        for units, found in zip(self._sets, logits, strict=True):
            smaller = drop_units(model, units) if units else model
            with torch.no_grad():
                check_logits(found, smaller, clips, names)
