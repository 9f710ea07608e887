"""Bridges, projections and a classifier fitted to what the full model does: no training, no labels.

In order of depth every gap that dropped layers and branches left gets the affine map that takes
what arrives there in the pruned model to what the full model has at that place (ReplaceMe,
arXiv:2505.02819, does it for one gap; LinearPatch, arXiv:2505.24680, and arXiv:2410.04941 have
kindred ideas). Of a branch that lacks heads or neurons, the last linear layer is fitted anew, so
that what is left of it does the work of what is not (He, Zhang, Sun, arXiv:1707.06168, for channels
of convolutions); that adds no parameters. Later fits see what earlier ones did. At last the
classifier, a linear layer already, is fitted to the full model's logits on the features that arrive
now: that adds none, either.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from rich.progress import Progress
from torch import Tensor, distributed, nn
from torchmetrics.utilities.distributed import gather_all_tensors

from vitprune.importance.engine import Autocast, evaluating
from vitprune.models.branches import Tokens
from vitprune.models.bridge import KINDS, Bridge, fold, insert, reach
from vitprune.models.chain import VideoTransformer
from vitprune.models.walking import end
from vitprune.recovery.least_squares import Affine, LeastSquares, Moments, best
from vitprune.recovery.sites import Gap, Projection, Site, gaps, sites
from vitprune.recovery.walks import ROOM, Room, Walks
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
        projections: of layers that lack heads or groups of neurons, such as ``3.mlp`` -> likewise.
        folded: places of those bridges whose map something in front of them has taken up exactly,
            which adds no parameters (see :func:`vitprune.models.bridge.fold`).
        divergence: Kullback-Leibler divergence of the model's answers from the full one's on
            held-out clips, in nats; of the model as it was before, ``divergence_before``.
        clips: how many, the held-out ones among them.
    """

    model: VideoTransformer
    kind: str
    bridges: dict[int, float]
    projections: dict[str, float]
    folded: tuple[int, ...]
    divergence: float
    divergence_before: float
    clips: int


@torch.inference_mode(False)  # what is made can be trained
def fit_bridges(
    pruned: VideoTransformer,
    full: VideoTransformer,
    clips: Iterable[Tensor],
    *,
    kind: str = "auto",
    rank: int = RANK,
    classifier: bool = True,
    autocast: Autocast = nullcontext,
    progress: bool = False,
) -> Fitted:
    """A copy of ``pruned`` that does more of what ``full`` does, fitted in closed form.

    Args:
        pruned: ``full`` without some of its units.
        full: what it was made of.
        clips: batches [B, 3, T, H, W], on the models' device, the same each time that they are
            gone through: twice, and more often where their tokens take more than
            :data:`vitprune.recovery.walks.ROOM`. In a process group each process's share; all of
            them get the same model.
        kind: of the bridges: ``full`` (a matrix), ``low_rank``, ``scale`` (a factor and an offset
            for each channel), ``none`` (no bridges, and projections stay as they are), or ``auto``:
            whichever answers most like ``full`` on held-out clips.
        rank: of ``low_rank``.
        classifier: whether it is fitted, too.
        autocast: gives the context of each forward, for mixed precision.
        progress: whether a bar shows it.

    Raises:
        ValueError: ``pruned`` lacks nothing of ``full``, or there are too few clips.
    """
    to_mend = sites(pruned, full)
    if not to_mend:
        raise ValueError("nothing was dropped, so there is nothing to recover")
    bridged = any(isinstance(site, Gap) for site in to_mend)
    kinds = (kind,) if kind != "auto" else (*KINDS, "none") if bridged else ("full", "none")
    bar = Progress(disable=not progress)
    with evaluating(pruned), evaluating(full), torch.no_grad(), bar:
        task = bar.add_task("fitting bridges", total=len(to_mend) + 2)
        fitting = _Fitting(pruned, full, clips, kinds, autocast, lambda: bar.advance(task))
        for site in to_mend if fitting.kinds else ():
            fitting.mend(site, rank)
        found = fitting.finish(classifier)
    return min(found, key=lambda one: one.divergence)


@torch.inference_mode(False)
def with_room(
    pruned: VideoTransformer, full: VideoTransformer, kind: str, rank: int = RANK
) -> VideoTransformer:
    """A copy of ``pruned`` with a bridge that does nothing wherever :func:`fit_bridges` puts one.

    Args:
        pruned: ``full`` without some of its units.
        full: what it was made of.
        kind: of the bridges.
        rank: of ``low_rank``.
    """
    model, spec = copy.deepcopy(pruned), pruned.spec
    size = (1, 3, spec.num_frames, spec.image_size, spec.image_size)
    like = next(model.parameters())
    with evaluating(model), torch.no_grad():
        for gap in gaps(model, full):
            width = reach(model, torch.zeros(size).to(like), gap.place).x.shape[-1]
            bridge = Bridge(gap.place, width, kind, rank).to(like)
            for parameter in bridge.parameters():
                parameter.zero_()
            if not fold(model, bridge):
                insert(model, bridge.eval())
    return model


class _Candidate:
    """What the model becomes with one kind of bridges: how far it is mended, and its tokens."""

    def __init__(self, kind: str, walks: Walks, autocast: Autocast) -> None:
        self.kind, self.walks, self.autocast = kind, walks, autocast
        self.bridges: dict[int, float] = {}
        self.projections: dict[str, float] = {}
        self.folded: list[int] = []

    def of(self, kind: str) -> _Candidate:
        """A copy, of another kind from here on; it has no bridges yet."""
        walks = self.walks.of(copy.deepcopy(self.walks.model))
        other = _Candidate(kind, walks, self.autocast)
        other.projections = dict(self.projections)
        return other

    def rows(
        self, site: Site, number: int, clips: Tensor | None, wanted: Tokens
    ) -> tuple[Tensor, Tensor]:
        """Of a batch, what there is at a site, and what lacks of the full model's tokens."""
        model = self.walks.model
        return site.rows(model, self.walks.to(number, clips, site.start(model)), wanted)

    def mend(self, site: Site, moments: list[Moments], rank: int) -> None:
        """Fit what can stand at the site where the tokens are."""
        model = self.walks.model
        if isinstance(site, Projection):
            found, self.projections[str(site)] = _map(moments, "full", rank)
            site.add(model, *found)
            return
        found, self.bridges[site.place] = _map(moments, self.kind, rank)
        bridge = Bridge(site.place, len(found.bias), self.kind, rank)
        bridge = bridge.to(next(model.parameters())).eval()
        bridge.become(*found)
        with self.autocast():
            self.walks.through(bridge)
        if fold(model, bridge):
            self.folded.append(site.place)
        else:
            insert(model, bridge)

    def fitted(self, divergence: float, before: float, clips: int) -> Fitted:
        """What came of it."""
        return Fitted(
            self.walks.model, self.kind, self.bridges, self.projections, tuple(self.folded),
            divergence, before, clips,
        )  # fmt: skip


class _Fitting:
    """Candidates for one pruned model, which go through the clips side by side with the full one.

    Until the first bridge all that are mended are the same, and there is only one of them.
    """

    def __init__(
        self,
        pruned: VideoTransformer,
        full: VideoTransformer,
        clips: Iterable[Tensor],
        kinds: Sequence[str],
        autocast: Autocast,
        advance: Callable[[], None],
    ) -> None:

        def candidate(kind: str, room: Room) -> _Candidate:
            return _Candidate(kind, Walks(copy.deepcopy(pruned), room), autocast)

        self.clips, self.autocast, self.advance = clips, autocast, advance
        self.held_out: list[Tensor] = []
        self.kinds = [kind for kind in kinds if kind != "none"]
        room = Room(ROOM)
        self.full = Walks(full, room)
        self.candidates = [candidate(kind, room) for kind in self.kinds[:1]]
        self.plain = candidate("none", Room(0)) if "none" in kinds else None
        self.features, self.before = self._read_out(Walks(pruned, Room(0)))
        self.advance()

    def mend(self, site: Site, rank: int) -> None:
        """Fit what can stand at a site, in all candidates."""
        found = self._moments(site)
        if isinstance(site, Gap) and len(self.candidates) < len(self.kinds):
            (one,) = self.candidates
            self.candidates = [one.of(kind) for kind in self.kinds]
            found *= len(self.kinds)
        for candidate, moments in zip(self.candidates, found, strict=True):
            candidate.mend(site, moments, rank)
        self.advance()

    def finish(self, classifier: bool) -> list[Fitted]:
        """What the candidates have become, with classifiers fitted if they are to be."""
        _, logits = self._read_out(self.full)
        ended = [(one, self._read_out(one.walks)[0]) for one in self.candidates]
        if self.plain:
            ended.append((self.plain, self.features))
        held_out = everyones(self.held_out)
        before, found = divergence(logits[held_out], self.before[held_out]), []
        for one, features in ended:
            head = one.walks.model.head
            if classifier:
                refit(head, features, logits, held_out)
            now = divergence(logits[held_out], _applied(head, features[held_out]))
            found.append(one.fitted(now, before, len(logits)))
        self.advance()
        return found

    def _moments(self, site: Site) -> list[list[Moments]]:
        """Of what there is at a site and what lacks, in each candidate: on clips to fit to, and on
        held-out ones."""
        sums: list[list[LeastSquares]] = []
        for number, clips in self._batches(self.full, *(one.walks for one in self.candidates)):
            with self.autocast():
                wanted = self.full.to(number, clips, site.goal(self.full.model))
                rows = [one.rows(site, number, clips, wanted) for one in self.candidates]
            if not sums:
                sums = [
                    [LeastSquares(x.shape[-1], lack.shape[-1]).to(x.device) for _ in range(2)]
                    for x, lack in rows
                ]
            held_out = self.held_out[number]
            for (x, lack), both in zip(rows, sums, strict=True):
                for one, which in zip(both, (~held_out, held_out), strict=True):
                    one.update(x[which].flatten(0, 1), lack[which].flatten(0, 1))
        return [[one.compute() for one in both] for both in sums]

    def _read_out(self, walks: Walks) -> tuple[Tensor, Tensor]:
        """What goes into a model's classifier, [N, D], and its logits, [N, C], of all clips."""
        model, logits = walks.model, []
        with into_classifier(model) as features:
            for number, clips in self._batches(walks):
                with self.autocast():
                    logits.append(model.read_out(walks.to(number, clips, end(model))).float())
        return everyones([part.float() for part in features]), everyones(logits)

    def _batches(self, *walks: Walks) -> Iterator[tuple[int, Tensor | None]]:
        """Numbers of batches, and their clips; None where no walk starts with them."""
        known = len(self.held_out)
        if known and all(one.keeps(known) for one in walks):
            yield from ((number, None) for number in range(known))
            return
        seen = 0
        for number, clips in enumerate(self.clips):
            if number == len(self.held_out):
                numbers = torch.arange(seen, seen + len(clips), device=clips.device)
                self.held_out.append(numbers % HELD_OUT == HELD_OUT - 1)
            seen += len(clips)
            yield number, clips
        if seen < HELD_OUT:
            raise ValueError(f"{seen} clips are too few to fit bridges to; {HELD_OUT} are needed")


def _map(moments: list[Moments], kind: str, rank: int) -> tuple[Affine, float]:
    """The map from what there is to what lacks, and the share of the held-out error it leaves."""
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
