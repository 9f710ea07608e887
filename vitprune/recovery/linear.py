"""Bridges and a classifier fitted to what the full model does: no training, no labels.

In order of depth every gap that dropped layers left gets the affine map that takes what arrives
there in the pruned model to what the full model has at that place (ReplaceMe, arXiv:2505.02819,
does it for one gap; LinearPatch, arXiv:2505.24680, and arXiv:2410.04941 have kindred ideas). Later
ones see what earlier ones did. At last the classifier, a linear layer already, is fitted to the
full model's logits on the features that arrive now: that adds no parameters.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from rich.progress import Progress
from torch import Tensor, distributed, nn
from torchmetrics.utilities.distributed import gather_all_tensors

from vitprune.models.bridge import KINDS, Bridge, insert, reach
from vitprune.models.chain import VideoTransformer
from vitprune.recovery.least_squares import Affine, LeastSquares, best

HELD_OUT = 5
"""Every how many-th clip chooses a ridge's strength and is not fitted to."""
RANK = 8
"""Of low-rank bridges."""


@dataclass(frozen=True)
class Fitted:
    """What was fitted.

    Attributes:
        model: the pruned model with bridges and another classifier.
        kind: of the bridges; ``none`` where there are none.
        bridges: place of each -> its mean squared error on held-out clips, as a share of what the
            error is without it.
        divergence: Kullback-Leibler divergence of the model's answers from the full one's on
            held-out clips, in nats; of the model as it was before, ``divergence_before``.
        clips: how many, the held-out ones among them.
    """

    model: VideoTransformer
    kind: str
    bridges: dict[int, float]
    divergence: float
    divergence_before: float
    clips: int


def gaps(pruned: VideoTransformer, full: VideoTransformer) -> list[int]:
    """Numbers of the last layer of every gap that ``pruned`` has and ``full`` has not."""
    there = pruned.layers
    missing = set(full.layers) - set(there)
    starts, ends = (-1, *there), (*there, full.num_layers)
    return [
        end - 1
        for start, end in zip(starts, ends, strict=True)
        if any(start < layer < end for layer in missing)
    ]


@torch.inference_mode(False)  # what is made can be trained
def fit_bridges(
    pruned: VideoTransformer,
    full: VideoTransformer,
    clips: Iterable[Tensor],
    *,
    kind: str = "auto",
    rank: int = RANK,
    classifier: bool = True,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
    progress: bool = False,
) -> Fitted:
    """A copy of ``pruned`` that does more of what ``full`` does, fitted in closed form.

    Args:
        pruned: ``full`` without some of its layers.
        full: what it was made of.
        clips: batches [B, 3, T, H, W], on the models' device; gone through several times.
        kind: of the bridges: ``full`` (a matrix), ``low_rank``, ``scale`` (a factor and an offset
            for each channel), ``none``, or ``auto``: whichever answers most like ``full`` on
            held-out clips.
        rank: of ``low_rank``.
        classifier: whether it is fitted, too.
        autocast: gives the context of each forward, for mixed precision.
        progress: whether a bar shows it.

    Raises:
        ValueError: ``pruned`` lacks no layer of ``full``, or there are too few clips.
    """
    places = gaps(pruned, full)
    if not places:
        raise ValueError("nothing was dropped, so there is nothing to recover")
    kinds = (*KINDS, "none") if kind == "auto" else (kind,)
    passes = sum(1 + (0 if one == "none" else len(places)) for one in kinds)
    with _evaluating(pruned, full), torch.no_grad(), Progress(disable=not progress) as bar:
        task = bar.add_task("fitting bridges", total=passes)
        fitting = _Fitting(full, clips, autocast, lambda: bar.advance(task))
        found = [fitting.fitted(pruned, places, one, rank, classifier) for one in kinds]
    return min(found, key=lambda one: one.divergence)


@dataclass(frozen=True)
class _Fitting:
    full: VideoTransformer
    clips: Iterable[Tensor]
    autocast: Callable[[], AbstractContextManager]
    advance: Callable[[], None]

    def fitted(
        self, pruned: VideoTransformer, places: list[int], kind: str, rank: int, classifier: bool
    ) -> Fitted:
        model = copy.deepcopy(pruned)
        shares = {}
        for place in places if kind != "none" else ():
            found, shares[place] = self._bridge(model, place, kind, rank)
            bridge = Bridge(place, len(found.bias), kind, rank).to(next(model.parameters()))
            bridge.become(*found)
            insert(model, bridge.eval())
            self.advance()
        features, logits, held_out = self._features(pruned, model)
        before = divergence(logits[held_out], features.before[held_out])
        head = model.head
        if classifier:
            refit(head, features.now, logits, held_out)
        now = divergence(logits[held_out], _applied(head, features.now[held_out]))
        self.advance()
        return Fitted(model, kind, shares, now, before, len(logits))

    def _bridge(
        self, model: VideoTransformer, place: int, kind: str, rank: int
    ) -> tuple[Affine, float]:
        """The map from tokens to what they lack, and the share of the held-out error it leaves."""
        sums: list[LeastSquares] = []
        for clips, held_out in self._batches():
            with self.autocast():
                there, wanted = (reach(one, clips, place).x for one in (model, self.full))
            x, lack = there.double(), wanted.double() - there.double()
            if not sums:
                sums = [LeastSquares(x.shape[-1], x.shape[-1]).to(x.device) for _ in range(2)]
            for one, which in zip(sums, (~held_out, held_out), strict=True):
                one.update(x[which].flatten(0, 1), lack[which].flatten(0, 1))
        fit, other = (one.compute() for one in sums)
        found, _ = best(fit, other, kind, rank)
        nothing = Affine(torch.zeros_like(found.weight), torch.zeros_like(found.bias))
        return found, other.error(found) / max(other.error(nothing), 1e-30)

    def _features(
        self, pruned: VideoTransformer, model: VideoTransformer
    ) -> tuple[_Features, Tensor, Tensor]:
        """What goes into the classifier now, and what models answer: of all processes' clips."""
        now, before, logits, held_out = [], [], [], []
        for clips, which in self._batches():
            with self.autocast():
                now.append(_into(model, clips).float())
                before.append(pruned(clips).float())
                logits.append(self.full(clips).float())
            held_out.append(which)
        # The classifier is fitted to all, by every process for itself: all get the same one.
        rows = (_of_all_processes(torch.cat(part)) for part in (now, before, logits, held_out))
        into, answers, wanted, which = rows
        return _Features(into, answers), wanted, which

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches, and which of their clips are held out."""
        seen = 0
        for clips in self.clips:
            numbers = torch.arange(seen, seen + len(clips), device=clips.device)
            seen += len(clips)
            yield clips, numbers % HELD_OUT == HELD_OUT - 1
        if seen < HELD_OUT:
            raise ValueError(f"{seen} clips are too few to fit bridges to; {HELD_OUT} are needed")


@dataclass(frozen=True)
class _Features:
    now: Tensor
    before: Tensor


def refit(head: nn.Linear, features: Tensor, logits: Tensor, held_out: Tensor) -> None:
    """Change a classifier, in place, so that it answers as the full model on new features.

    What is added to its weights has the least Kullback-Leibler divergence from the full model's
    answers, plus a ridge, whose strength the held-out clips choose; adding nothing is a choice.

    Args:
        head: the classifier.
        features: [N, D] that go into it.
        logits: [N, C] of the full model.
        held_out: [N], which are not fitted to.
    """
    mean, deviation = features[~held_out].mean(0), features[~held_out].std(0).clamp_min(1e-6)
    x = (features - mean) / deviation
    own = _applied(head, features)
    wanted = logits.softmax(-1)
    least, chosen = divergence(logits[held_out], own[held_out]), None
    start = torch.zeros(x.shape[1] + 1, logits.shape[1]).to(x)
    for strength in (1.0, 1e-1, 1e-2, 1e-3, 1e-4):
        start = _least_divergence(x[~held_out], own[~held_out], wanted[~held_out], strength, start)
        found = divergence(logits[held_out], own[held_out] + x[held_out] @ start[1:] + start[0])
        if found < least:
            least, chosen = found, start
    if chosen is not None:
        weight = chosen[1:] / deviation[:, None]
        with torch.no_grad():
            head.weight.add_(weight.T)
            head.bias.add_(chosen[0] - mean @ weight)


def _least_divergence(
    x: Tensor, own: Tensor, wanted: Tensor, strength: float, start: Tensor
) -> Tensor:
    """Biases and weights [1 + D, C] to be added, by L-BFGS: the problem is convex."""
    added = start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([added], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        answers = (own + x @ added[1:] + added[0]).log_softmax(-1)
        value = -(wanted * answers).sum(-1).mean() + strength * added[1:].square().mean(1).sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return added.detach()


def divergence(full: Tensor, other: Tensor) -> float:
    """Mean Kullback-Leibler divergence from the full model's answers, in nats: logits [N, C]."""
    p, q = full.double().log_softmax(-1), other.double().log_softmax(-1)
    return float((p.exp() * (p - q)).sum(-1).mean())


def _of_all_processes(rows: Tensor) -> Tensor:
    """The rows of every process of a group, in the same order in each."""
    if distributed.is_available() and distributed.is_initialized():
        return torch.cat(gather_all_tensors(rows))
    return rows


def _applied(head: nn.Linear, features: Tensor) -> Tensor:
    return nn.functional.linear(features, head.weight.float(), head.bias.float())


def _into(model: VideoTransformer, clips: Tensor) -> Tensor:
    """What goes into the classifier, [B, D]."""
    seen: list[Tensor] = []
    hook = model.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        model(clips)
    finally:
        hook.remove()
    return seen[0]


class _evaluating:  # used like a function
    """Models in eval mode, for a while."""

    def __init__(self, *models: nn.Module) -> None:
        self.models = models

    def __enter__(self) -> None:
        self.modes = [model.training for model in self.models]
        for model in self.models:
            model.eval()

    def __exit__(self, *_: object) -> None:
        for model, mode in zip(self.models, self.modes, strict=True):
            model.train(mode)
