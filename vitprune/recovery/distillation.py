"""Distillation: the smaller model is trained to answer as the full one, whose layers it has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from vitprune.models.chain import Block, VideoTransformer
from vitprune.training.classifier import VideoClassifier


class Distillation(VideoClassifier):
    """Trains a smaller model on what the full one makes of the same clips.

    Two terms, averaged over the batch: the Kullback-Leibler divergence of its answers from the
    full model's at a temperature T, times T squared (Hinton, Vinyals, Dean, arXiv:1503.02531), and
    the squared error of its tokens behind every layer that it has, as a share of the full model's
    (Romero et al., FitNets, arXiv:1412.6550; widths are the same, so nothing projects them). The
    second is scaled to the size of the first in every step, as in Minitron (arXiv:2407.14679), and
    counts ``features`` times. Labels are looked at where ``labels`` says so: cross-entropy then
    counts as much as the divergence. Where clips are mixed, the full model sees the mixed ones
    (Beyer et al., arXiv:2106.05237).

    Args:
        student: the smaller model, which is trained.
        teacher: the full one, which is left as it is.
        temperature: T.
        features: weight of the tokens' error; 0 for none.
        labels: whether labels are looked at, too.
        recipe: of :class:`VideoClassifier`.
    """

    def __init__(
        self,
        student: VideoClassifier,
        teacher: VideoTransformer,
        *,
        temperature: float = 2.0,
        features: float = 0.1,
        labels: bool = False,
        **recipe: Any,
    ) -> None:
        super().__init__(
            student.model,
            student.class_names,
            student.clip_settings,
            provenance=student.provenance,
            **recipe,
        )
        self._teacher = (teacher,)  # in a tuple it is no part of this model, nor of checkpoints
        self.temperature = temperature
        self.features = features
        self.labels = labels

    @property
    def teacher(self) -> VideoTransformer:
        """The full model."""
        return self._teacher[0]

    def on_fit_start(self) -> None:
        self.teacher.eval().to(self.device)

    def objective(self, clips: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        logits, tokens = seen(self.model, clips)
        with torch.no_grad():
            wanted, theirs = seen(self.teacher, clips, set(tokens))
        loss = divergence = soft_divergence(logits, wanted, self.temperature)
        if self.features and tokens:
            shares = [unlike(x, theirs[layer]) for layer, x in tokens.items()]
            error = torch.stack(shares).mean()
            scale = (divergence / error.clamp_min(1e-12)).detach()
            loss = loss + self.features * scale * error
        if self.labels:
            loss = loss + self.loss(logits, target)
        return logits, loss


def soft_divergence(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """``T^2 KL(softmax(wanted / T) || softmax(logits / T))``, the mean over a batch [B, C]."""
    ours = F.log_softmax(logits.float() / temperature, -1)
    theirs = F.log_softmax(wanted.float() / temperature, -1)
    return temperature**2 * F.kl_div(ours, theirs, reduction="batchmean", log_target=True)


def unlike(x: Tensor, wanted: Tensor) -> Tensor:
    """Squared error of tokens [B, N, C] as a share of the mean square of those that are wanted."""
    return F.mse_loss(x.float(), wanted.float()) / wanted.float().square().mean().clamp_min(1e-12)


def seen(
    model: VideoTransformer, clips: Tensor, layers: Iterable[int] | None = None
) -> tuple[Tensor, dict[int, Tensor]]:
    """Logits [B, C], and the tokens behind layers, by number; behind all if none are named."""
    wanted = None if layers is None else set(layers)
    tokens, found = model.embed(clips), {}
    for block in cast("Iterable[Block]", model.blocks):
        tokens = block(tokens)
        if wanted is None or block.index in wanted:
            found[block.index] = tokens.x
    return model.classify(tokens), found
