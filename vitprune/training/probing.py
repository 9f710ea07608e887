"""Linear probing, then fine-tuning: the classifier is fitted before anything else is trained."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn import functional as F

from vitprune.models.chain import VideoTransformer

log = logging.getLogger(__name__)

PENALTY = 1e-2
"""Of the squared weights, beside the mean cross-entropy."""
STEPS = 100
"""Of L-BFGS, at most."""


class LinearProbing(pl.Callback):
    """Fits the classifier to the features that the model begins with (arXiv:2202.10054).

    In a small model of random weights the features of different clips hardly differ, and what a
    classifier of random weights asks of them is noise: the model stays at chance for a thousand
    steps. Once the features have zero mean and unit variance over the training clips, and the
    classifier is the best linear one, every step says something. A fine-tuning that is resumed is
    left alone.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step:
            return
        model = cast(VideoTransformer, pl_module.model)
        features, labels = _features(trainer, pl_module, model)
        mean, deviation = features.mean(0), features.std(0).clamp_min(1e-6)
        weight, bias = fit_linear((features - mean) / deviation, labels, model.head.out_features)
        found = trainer.strategy.broadcast((mean, deviation, weight, bias))
        standardise(model, *(value.to(pl_module.device) for value in found))
        told = (features - mean) / deviation @ weight.T + bias
        log.info(
            "Linear probing: %.1f %% of the training clips",
            100 * float((told.argmax(1) == labels).float().mean()),
        )


def fit_linear(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression with :data:`PENALTY`, by L-BFGS.

    Args:
        features: [N, D].
        labels: [N].
        classes: C, how many.

    Returns:
        Weights [C, D] and biases [C].
    """
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(features @ weight.T + bias, labels)
        value = value + PENALTY * weight.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return weight.detach(), bias.detach()


@torch.no_grad()
def standardise(
    model: VideoTransformer, mean: Tensor, deviation: Tensor, weight: Tensor, bias: Tensor
) -> None:
    """Let the classifier get features of zero mean and unit variance, and classify them so.

    Where no ordinary norm gives it its features they stay as they are, and the classifier does it
    by its own weights.

    Args:
        model: whose norm and classifier are changed in place.
        mean: [D], of what goes into the classifier now,
        deviation: [D], and its standard deviation.
        weight: [C, D], of the new classifier,
        bias: [C], and its biases.
    """
    norm, head = model.feature_norm, model.head
    if norm is None:
        weight = weight / deviation
        bias = bias - weight @ mean
    else:
        norm.weight.div_(deviation)
        norm.bias.sub_(mean).div_(deviation)
    head.weight.copy_(weight)
    head.bias.copy_(bias)


def _features(
    trainer: pl.Trainer, module: pl.LightningModule, model: VideoTransformer
) -> tuple[Tensor, Tensor]:
    """What goes into the classifier, [N, D] in float32, and labels [N], of one epoch's clips."""
    labels: list[Tensor] = []
    was_training = model.training
    model.eval()
    try:
        context = trainer.precision_plugin.forward_context()
        with into_classifier(model) as seen, torch.no_grad(), context:
            for batch in trainer.datamodule.train_dataloader():  # type: ignore[attr-defined]
                if not len(batch["label"]):
                    continue  # none of them could be read
                batch = trainer.strategy.batch_to_device(batch)
                model(batch["clips"].flatten(0, 1))
                labels.append(batch["label"])
    finally:
        model.train(was_training)
    return torch.cat(seen).float().cpu(), torch.cat(labels).cpu()


@contextmanager
def into_classifier(model: VideoTransformer) -> Iterator[list[Tensor]]:
    """Meanwhile gathers what goes into the classifier, [B, D] for every forward."""
    seen: list[Tensor] = []
    hook = model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        hook.remove()
