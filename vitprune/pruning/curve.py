"""Top-1 over the number of dropped layers, for every number at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitprune.importance import ablate_sets
from vitprune.models.chain import VideoTransformer, drop_layers
from vitprune.models.finite import check_logits, names_of
from vitprune.pruning.cost import latencies
from vitprune.training.classifier import VideoClassifier, at_once_of
from vitprune.training.per_video import MeanPerVideo

Orders = Mapping[str, Sequence[Sequence[int]]]
"""Name -> orders in which k layers go; several orders where chance draws them."""


class Curve(NamedTuple):
    """Top-1 and latency after dropping 0, 1, ... k layers.

    Attributes:
        top1: name -> share of videos in [0, 1], [orders, k + 1].
        latency_ms: of the models along the first name's first order, [k + 1].
    """

    top1: dict[str, NDArray[np.float64]]
    latency_ms: list[float]


def random_orders(layers: Sequence[int], k: int, *, seeds: int, seed: int) -> list[list[int]]:
    """``seeds`` draws of k of the ``layers``, the control for a curve."""
    draw = np.random.default_rng(seed)
    return [draw.permutation(list(layers))[:k].tolist() for _ in range(seeds)]


class DropCurve(pl.Callback):
    """Evaluates, along with ``trainer.test``, the model without the first 0 to k of some layers.

    The models share what they have in common (see :func:`vitprune.importance.ablate_sets`), and
    see the same clips as every other model of the pass. The result is in :attr:`outcome`.

    Args:
        orders: gives the orders in which layers go; called when the first batch is done, so it
            may look at what another callback found when the test began.
    """

    def __init__(self, orders: Callable[[], Orders]) -> None:
        self.orders = orders
        self._curve: Curve | None = None

    @property
    def outcome(self) -> Curve:
        """What was found.

        Raises:
            RuntimeError: the test has not been run.
        """
        if self._curve is None:
            raise RuntimeError("no curve yet: run trainer.test with this callback first")
        return self._curve

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._orders: Orders = {}

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
        if not self._orders:
            self._orders = self.orders()
            prefixes = {
                frozenset(order[:n])
                for several in self._orders.values()
                for order in several
                for n in range(len(order) + 1)
            }
            self._sets = sorted(prefixes, key=lambda layers: (len(layers), sorted(layers)))
            self._hits = MeanPerVideo(len(self._sets)).to(pl_module.device)
        clips = batch["clips"]
        flat = clips.flatten(0, 1)
        with trainer.precision_plugin.forward_context():
            parts = flat.split(at_once_of(batch) or len(flat))
            logits = torch.cat(
                [ablate_sets(pl_module.model, part, self._sets) for part in parts], dim=1
            )
            if not logits.isfinite().all():
                self._refuse(pl_module.model, flat, logits, names_of(batch))
        views = logits.float().softmax(-1).unflatten(1, clips.shape[:2])
        hits = views.mean(2).argmax(-1) == batch["label"]
        self._hits.update(batch["video"], hits.T)
        self._clip: Tensor = clips[0, :1]

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, VideoClassifier)
        share = dict(zip(self._sets, self._hits.compute().tolist(), strict=True))
        top1 = {
            name: np.array(
                [[share[frozenset(order[:n])] for n in range(len(order) + 1)] for order in several]
            )
            for name, several in self._orders.items()
        }
        first = next(iter(self._orders.values()))[0]
        model = pl_module.model
        smaller = [drop_layers(model, first[:n]).eval() for n in range(1, len(first) + 1)]
        with torch.inference_mode():
            taken = latencies(
                [model, *smaller], self._clip, trainer.precision_plugin.forward_context
            )
        self._curve = Curve(top1, taken)

    def _refuse(
        self, model: VideoTransformer, clips: Tensor, logits: Tensor, names: Sequence[str] | None
    ) -> None:
        for layers, found in zip(self._sets, logits, strict=True):
            check_logits(found, drop_layers(model, sorted(layers)), clips, names)
