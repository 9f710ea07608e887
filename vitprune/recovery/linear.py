"""Bridges and a classifier fitted to what the full model does: no training, no labels.

In order of depth every gap that dropped layers left gets the affine map that takes what arrives
there in the pruned model to what the full model has at that place (ReplaceMe, arXiv:2505.02819,
does it for one gap; LinearPatch, arXiv:2505.24680, and arXiv:2410.04941 have kindred ideas). Later
ones see what earlier ones did. At last the classifier, a linear layer already, is fitted to the
full model's logits on the features that arrive now: that adds no parameters. Where parts of layers
were dropped and no whole one, there is no gap, and the classifier is all that is fitted.
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

from vitprune.importance.engine import evaluating
from vitprune.models.bridge import KINDS, Bridge, fold, insert, reach
from vitprune.models.chain import VideoTransformer
from vitprune.recovery.least_squares import Affine, LeastSquares, Moments, best
from vitprune.training.probing import into_classifier

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
        folded: places of those whose map something in front of them has taken up exactly, which
            adds no parameters (see :func:`vitprune.models.bridge.fold`).
        divergence: Kullback-Leibler divergence of the model's answers from the full one's on
            held-out clips, in nats; of the model as it was before, ``divergence_before``.
        clips: how many, the held-out ones among them.
    """

    model: VideoTransformer
    kind: str
    bridges: dict[int, float]
    folded: tuple[int, ...]
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
        pruned: ``full`` without some of its units.
        full: what it was made of.
        clips: batches [B, 3, T, H, W], on the models' device; gone through several times. In a
            process group each process's share; all of them get the same model.
        kind: of the bridges: ``full`` (a matrix), ``low_rank``, ``scale`` (a factor and an offset
            for each channel), ``none``, or ``auto``: whichever answers most like ``full`` on
            held-out clips.
        rank: of ``low_rank``.
        classifier: whether it is fitted, too.
        autocast: gives the context of each forward, for mixed precision.
        progress: whether a bar shows it.

    Raises:
        ValueError: ``pruned`` lacks nothing of ``full``, or there are too few clips.
    """
    if pruned.dropped == full.dropped:
        raise ValueError("nothing was dropped, so there is nothing to recover")
    places = gaps(pruned, full)
    kinds = (*KINDS, "none") if kind == "auto" else (kind,)
    if not places:
        kinds = ("none",)
    bar = Progress(disable=not progress)
    with evaluating(pruned), evaluating(full), torch.no_grad(), bar:
        # The first gap is reached alike whatever the kind; later ones are behind other bridges.
        passes = 2 + len(kinds) + (len(places) - 1) * (len(kinds) - ("none" in kinds))
        task = bar.add_task("fitting bridges", total=passes)
        fitting = _Fitting(pruned, full, clips, autocast, lambda: bar.advance(task))
        found = [fitting.fitted(places, one, rank, classifier) for one in kinds]
    return min(found, key=lambda one: one.divergence)


@torch.inference_mode(False)
def with_room(
    pruned: VideoTransformer, full: VideoTransformer, kind: str, rank: int = RANK
) -> VideoTransformer:
    """A copy of ``pruned`` with a bridge that does nothing wherever :func:`fit_bridges` puts one.

    Args:
        pruned: ``full`` without some of its layers.
        full: what it was made of.
        kind: of the bridges.
        rank: of ``low_rank``.
    """
    model, spec = copy.deepcopy(pruned), pruned.spec
    size = (1, 3, spec.num_frames, spec.image_size, spec.image_size)
    like = next(model.parameters())
    with evaluating(model), torch.no_grad():
        for place in gaps(model, full):
            width = reach(model, torch.zeros(size).to(like), place).x.shape[-1]
            bridge = Bridge(place, width, kind, rank).to(like)
            for parameter in bridge.parameters():
                parameter.zero_()
            if not fold(model, bridge):
                insert(model, bridge.eval())
    return model


class _Fitting:
    """Candidates for one pruned model, and what they share."""

    def __init__(
        self,
        pruned: VideoTransformer,
        full: VideoTransformer,
        clips: Iterable[Tensor],
        autocast: Callable[[], AbstractContextManager],
        advance: Callable[[], None],
    ) -> None:
        self.pruned, self.full, self.clips = pruned, full, clips
        self.autocast, self.advance = autocast, advance
        logits, before, held_out = [], [], []
        for batch, which in self._batches():
            with autocast():
                logits.append(full(batch).float())
                before.append(pruned(batch).float())
            held_out.append(which)
        self.logits, self.held_out = everyones(logits), everyones(held_out)
        self.before = divergence(self.logits[self.held_out], everyones(before)[self.held_out])
        self.advance()
        self._first: list[Moments] = []

    def fitted(self, places: list[int], kind: str, rank: int, classifier: bool) -> Fitted:
        model = copy.deepcopy(self.pruned)
        shares: dict[int, float] = {}
        folded: list[int] = []
        for place in places if kind != "none" else ():
            moments = self._moments(model, place, first=place == places[0])
            found, shares[place] = _bridge(moments, kind, rank)
            bridge = Bridge(place, len(found.bias), kind, rank).to(next(model.parameters()))
            bridge.become(*found)
            if fold(model, bridge):
                folded.append(place)
            else:
                insert(model, bridge.eval())
        features = self._features(model)
        if classifier:
            refit(model.head, features, self.logits, self.held_out)
        answers = _applied(model.head, features[self.held_out])
        now = divergence(self.logits[self.held_out], answers)
        self.advance()
        return Fitted(model, kind, shares, tuple(folded), now, self.before, len(self.logits))

    def _moments(self, model: VideoTransformer, place: int, *, first: bool) -> list[Moments]:
        """Of tokens at a place and of what they lack: on clips to fit to, and on held-out ones."""
        if first and self._first:
            return self._first
        sums: list[LeastSquares] = []
        for clips, held_out in self._batches():
            with self.autocast():
                there, wanted = (reach(one, clips, place).x for one in (model, self.full))
            x, lack = there.double(), wanted.double() - there.double()
            if not sums:
                sums = [LeastSquares(x.shape[-1], x.shape[-1]).to(x.device) for _ in range(2)]
            for one, which in zip(sums, (~held_out, held_out), strict=True):
                one.update(x[which].flatten(0, 1), lack[which].flatten(0, 1))
        found = [one.compute() for one in sums]
        self.advance()
        if first:
            self._first = found
        return found

    def _features(self, model: VideoTransformer) -> Tensor:
        """What goes into the classifier, [N, D]."""
        with into_classifier(model) as found:
            for clips, _ in self._batches():
                with self.autocast():
                    model(clips)
        return everyones([part.float() for part in found])

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches, and which of their clips are held out."""
        seen = 0
        for clips in self.clips:
            numbers = torch.arange(seen, seen + len(clips), device=clips.device)
            seen += len(clips)
            yield clips, numbers % HELD_OUT == HELD_OUT - 1
        if seen < HELD_OUT:
            raise ValueError(f"{seen} clips are too few to fit bridges to; {HELD_OUT} are needed")


def _bridge(moments: list[Moments], kind: str, rank: int) -> tuple[Affine, float]:
    """The map from tokens to what they lack, and the share of the held-out error it leaves."""
    fit, held_out = moments
    found, _ = best(fit, held_out, kind, rank)
    nothing = Affine(torch.zeros_like(found.weight), torch.zeros_like(found.bias))
    return found, held_out.error(found) / max(held_out.error(nothing), 1e-30)


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


def everyones(parts: list[Tensor]) -> Tensor:
    """Rows of this process, and of all others where there are several, in the same order in all."""
    own = torch.cat(parts)
    if not (distributed.is_available() and distributed.is_initialized()):
        return own
    return torch.cat(gather_all_tensors(own))


def _applied(head: nn.Linear, features: Tensor) -> Tensor:
    return nn.functional.linear(features, head.weight.float(), head.bias.float())
