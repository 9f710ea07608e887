"""A search among sets of units: which of them changes the model's answers least.

It begins with a plan and goes on in rounds. In each, candidates that swap a unit or two of the best
set so far are evaluated together, in one pass over the calibration clips in which they share what
they have in common (:func:`vitprune.importance.ablate_sets`). So nothing is estimated: a candidate
is ablated as it would be dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vitprune.importance import ablate_sets, jsd
from vitprune.importance.engine import Autocast
from vitprune.importance.scoring import one_view
from vitprune.models.chain import VideoTransformer
from vitprune.models.finite import check_logits, names_of
from vitprune.models.unit import Unit, outermost
from vitprune.pruning.by_cost import leaves_a_layer
from vitprune.training.per_video import PerVideo, wide

Candidate = frozenset[Unit]
Vary = Callable[[Candidate, np.random.Generator], Candidate | None]
"""Another candidate that is much like a given one; None if there is none."""
TRIES = 20
"""How often a candidate is drawn anew that was there before."""


class Outcome(NamedTuple):
    """How a model answers the calibration clips without some units.

    Attributes:
        divergence: mean JSD of its answers from the full model's, in bits.
        loss: how many points of recall the class loses that loses most.
        label: which class that is.
    """

    divergence: float
    loss: float
    label: int

    def order(self, most_loss: float | None) -> tuple[float, float]:
        """What is looked at to tell which is better: first whether a class loses more than
        ``most_loss`` points and how much, then divergence."""
        return 0.0 if self.keeps(most_loss) else self.loss, self.divergence

    def keeps(self, most_loss: float | None) -> bool:
        """Whether no class loses more than so many points; always for None."""
        # Shares of whole clips: a loss of 5 points exactly is not one of more than 5.
        return most_loss is None or self.loss <= most_loss + 1e-9


class Outcomes(PerVideo):
    """Collects how S smaller models answer; works across processes.

    Args:
        sets: S.
    """

    def __init__(self, sets: int) -> None:
        super().__init__(2 + 2 * sets)

    def update(self, video: Tensor, label: Tensor, full: Tensor, smaller: Tensor) -> None:
        """Adds a batch: ``video`` and ``label`` [B], logits ``full`` [B, C] and ``smaller``
        [S, B, C]."""
        right = torch.cat([full[None], smaller]).argmax(-1) == label
        self.add(video, torch.cat([wide(label)[:, None], wide(right.T), jsd(full, smaller).T], 1))

    def compute(self) -> list[Outcome]:
        _, columns = self.by_video()
        label, full, rest = columns[:, 0].long(), columns[:, 1], columns[:, 2:]
        right, divergence = rest.chunk(2, dim=1)
        classes = label.unique()
        lost = torch.stack([(full[:, None] - right)[label == c].mean(0) for c in classes])
        worst, which = (100 * lost).max(0)
        return [
            Outcome(mean, loss, int(classes[place]))
            for mean, loss, place in zip(
                divergence.mean(0).tolist(), worst.tolist(), which.tolist(), strict=True
            )
        ]


def outcomes(
    model: VideoTransformer,
    batches: Iterable[Mapping[str, Any]],
    sets: Sequence[Collection[Unit]],
    autocast: Autocast = nullcontext,
) -> list[Outcome]:
    """How a model answers without each of S sets of units, on the same clips.

    Every process of a group hands in its share of the clips and gets the outcomes of all.

    Args:
        model: full.
        batches: see :data:`vitprune.importance.scoring.Batch`.
        sets: S of them.
        autocast: gives the context of each forward, for mixed precision.

    Raises:
        NotFinite: a logit is nan or infinite.
    """
    like = next(model.parameters())
    found = Outcomes(len(sets)).to(like.device)
    for batch in batches:
        clips = one_view(batch["clips"]).to(like, non_blocking=True)
        with autocast():
            logits = ablate_sets(model, clips, [(), *map(sorted, sets)])
            for units, own in zip([(), *sets], logits, strict=True):
                check_logits(own, model, clips, names_of(batch), sorted(units))
        video, label = (batch[key].to(like.device) for key in ("video", "label"))
        found.update(video, label, logits[0], logits[1:])
    return found.compute()


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        outcomes: of every candidate that was evaluated, the best first.
        start: which of them it began with.
        most_loss: how many points a class may lose; None for any.
    """

    outcomes: Mapping[Candidate, Outcome]
    start: Candidate
    most_loss: float | None

    def admissible(self) -> list[Candidate]:
        """Those of which no class loses too much, the best first."""
        return [one for one, out in self.outcomes.items() if out.keeps(self.most_loss)]

    def described(self, candidate: Candidate) -> dict[str, Any]:
        """What ``results.json`` says of the search that ended with a candidate."""
        start, end = self.outcomes[self.start], self.outcomes[candidate]
        return {
            "evaluated": len(self.outcomes),
            "divergence": {"start": start.divergence, "found": end.divergence},
            "class_loss": {"start": start.loss, "found": end.loss},
        }


def search(
    start: Collection[Unit],
    vary: Vary,
    evaluate: Callable[[Sequence[Candidate]], Sequence[Outcome]],
    *,
    candidates: int,
    rounds: int,
    seed: int,
    most_loss: float | None = None,
) -> Found:
    """Looks for a set of units that can go with less divergence than those of ``start``.

    The same seed gives the same search.

    Args:
        start: a set of units.
        vary: gives the candidates.
        evaluate: gives the outcomes of several, in one pass.
        candidates: how many there are in each round; fewer where no others can be drawn.
        rounds: how many passes there are, after one for ``start``.
        seed: of the draws.
        most_loss: how many points of recall a class may lose; None for any.
    """
    begun = frozenset(start)
    seen: dict[Candidate, Outcome] = {begun: evaluate([begun])[0]}
    draw = np.random.default_rng(seed)

    def order(candidate: Candidate) -> tuple[Any, ...]:
        return *seen[candidate].order(most_loss), candidate != begun, sorted(candidate)

    for _ in range(rounds):
        best = min(seen, key=order)
        drawn: dict[Candidate, None] = {}
        for _ in range(TRIES * candidates):
            one = vary(best, draw)
            if one is not None and one not in seen:
                drawn[one] = None
            if len(drawn) == candidates:
                break
        if not drawn:
            break
        seen |= zip(drawn, evaluate([*drawn]), strict=True)
    return Found({one: seen[one] for one in sorted(seen, key=order)}, begun, most_loss)


def swaps(order: Sequence[Unit], enough: Callable[[Sequence[Unit]], bool]) -> Vary:
    """Candidates in which a unit or two are swapped for others.

    One or two units come back at random. Then others go until it is enough: of two that are drawn
    the one that comes first in ``order``. What need not go after all comes back.

    Args:
        order: all units that can go, the first to go first.
        enough: whether dropping some units is as much as has to go.
    """

    def vary(candidate: Candidate, draw: np.random.Generator) -> Candidate | None:
        going = sorted(candidate)
        for _ in range(min(int(draw.integers(1, 3)), len(going))):
            going.pop(int(draw.integers(len(going))))
        while not enough(going):
            gone = {*going}
            free = [u for u in order if u not in gone and gone.isdisjoint(u.within)]
            while free:
                unit = free[int(draw.integers(len(free), size=2).min())]
                if leaves_a_layer([*going, unit], order):
                    break
                free.remove(unit)
            if not free:
                return None
            going = outermost([*going, unit], order)
        for unit in [going[place] for place in draw.permutation(len(going))]:
            rest = [other for other in going if other != unit]
            if enough(rest):
                going = rest
        return frozenset(going)

    return vary
