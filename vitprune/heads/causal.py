"""What ablating a head does to each class, beside ablating others of the same layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vitprune.importance import Unit, units_of, without
from vitprune.models import VideoTransformer
from vitprune.models.finite import check_logits, names_of

HeadSet = tuple[Unit, ...]


def probabilities_without(
    model: VideoTransformer, batches: Iterable[Mapping[str, Any]], sets: Sequence[HeadSet]
) -> np.ndarray:
    """Softmax with each set of heads ablated: [sets, N, C], for one view of each of N clips.

    Raises:
        NotFinite: a logit is nan or infinite.
    """
    like = next(model.parameters())
    rows: list[Tensor] = []
    with torch.no_grad():
        for batch in batches:
            clips = batch["clips"][:, 0].to(like)
            answers = []
            for heads in sets:
                with without(model, heads):
                    logits = model(clips)
                    check_logits(logits, model, clips, names_of(batch), heads)
                answers.append(logits.float().softmax(-1).cpu())
            rows.append(torch.stack(answers))
    return torch.cat(rows, dim=1).numpy()


class RandomSets(NamedTuple):
    """Sets of heads to compare with.

    Attributes:
        sets: each as large as the set of claimed heads.
        elsewhere: how many heads of each set come from anywhere in the model, because the claimed
            heads' own attention has too few others (some have only one head).
    """

    sets: list[HeadSet]
    elsewhere: int


def random_peers(
    model: VideoTransformer, heads: Sequence[Unit], draws: int, seed: int = 0
) -> RandomSets:
    """Up to ``draws`` different sets of other heads, as many from each attention as ``heads`` has.

    ``heads`` themselves are in none of them.
    """
    others = [unit for unit in units_of(model, "head") if unit not in heads]
    pools, elsewhere = [], 0
    for place, count in Counter((h.layer, h.branch) for h in heads).items():
        beside = [unit for unit in others if (unit.layer, unit.branch) == place]
        enough = len(beside) >= count
        elsewhere += 0 if enough else count
        pools.append((count, beside if enough else others))
    rng = np.random.default_rng(seed)
    drawn: dict[HeadSet, None] = {}
    for _ in range(20 * draws):  # where there are few sets, most draws are known already
        picked = {pool[i] for n, pool in pools for i in rng.permutation(len(pool))[:n]}
        if len(picked) == len(heads):
            drawn[tuple(sorted(picked))] = None
        if len(drawn) == draws:
            break
    return RandomSets(list(drawn), elsewhere)


def accuracy_per_class(
    probabilities: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Top-1 and mean probability of the label, per class: two [..., C] from [..., N, C]."""
    right = (probabilities.argmax(-1) == labels).astype(np.float64)
    confidence = np.take_along_axis(
        probabilities, np.broadcast_to(labels[:, None], (*probabilities.shape[:-1], 1)), -1
    )[..., 0]
    members = (labels[:, None] == np.arange(classes)).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return right @ members / members.sum(0), confidence @ members / members.sum(0)
