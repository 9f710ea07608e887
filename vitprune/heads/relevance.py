"""Which heads matter for all clips, which for one class, and which of it might be chance.

All of it is computed from the relevance of U heads for N clips, ``values`` [N, U], as
:meth:`vitprune.importance.Scores.per_clip` gives it, and the clips' labels [N].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitprune.results.statistics import bootstrap_means

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
PERMUTATIONS = 2000
CHUNK = 2**24
"""Numbers that a chunk of permutations may hold at once."""


def default_top(heads: int) -> int:
    """How many heads count as the top ones of a clip: a tenth, at least one."""
    return max(1, round(heads / 10))


def consistency(values: Floats, top: int) -> Floats:
    """Share of clips in which a head is among the ``top`` most relevant heads, [U] in [0, 1].

    ``consistency(u) = |{i : rank_i(u) <= top}| / N``, where rank_i orders the heads by their
    relevance for clip i, the highest first, ties by the lower head. Only ranks count, so a clip
    that reacts strongly weighs no more than one that hardly does. By chance it is ``top / U``.
    """
    first = np.argsort(-values, axis=1, kind="stable")[:, :top]
    counts = np.bincount(first.ravel(), minlength=values.shape[1])
    return counts / len(values)


def class_means(values: Floats, labels: Labels, classes: int) -> Floats:
    """Mean relevance of every head over the clips of every class, [C, U]; nan without clips."""
    members = (labels[None] == np.arange(classes)[:, None]).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return (members @ values) / members.sum(1, keepdims=True)


def selectivity(means: Floats) -> Floats:
    """Class-selectivity index of every head, [U] in [0, 1].

    ``(m_max - m_rest) / (m_max + m_rest)``: m_max is the highest of the class means [C, U], m_rest
    the mean of the others (Morcos et al. 2018, arXiv:1803.06959, who apply it to activations). 0
    where all classes are alike, 1 where only one needs the head. Class means below zero, of heads
    without which the class would do better, count as zero; a head with nothing else has index 0.
    """
    means = np.maximum(means[np.isfinite(means).all(1)], 0)
    return _index(means[None])[0]


def _index(means: Floats) -> Floats:
    """[P, U] from class means [P, C, U] that are not negative."""
    highest = means.max(1)
    rest = (means.sum(1) - highest) / max(1, means.shape[1] - 1)
    total = highest + rest
    return np.divide(highest - rest, total, out=np.zeros_like(total), where=total > 0)


@dataclass(frozen=True)
class SelectivityTest:
    """What chance alone would do to the index.

    Attributes:
        index: the class-selectivity index of every head, [U].
        preferred: the class with the highest mean, [U].
        p_value: corrected for the number of heads, [U].
        expected: mean index under permutation, [U]. It is far from zero where clips are few.
    """

    index: Floats
    preferred: Labels
    p_value: Floats
    expected: Floats


def selectivity_test(
    values: Floats,
    labels: Labels,
    classes: int,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> SelectivityTest:
    """Whether heads are more class-selective than if the labels meant nothing.

    The labels are permuted among the clips; each head's index is standardised by its own mean and
    deviation under permutation, ``z = (index - mean) / sd``. The p-value of a head is the share of
    permutations (the real labels counted in) in which *any* head's z reaches its own: the max
    statistic of Westfall and Young (1993), which bounds the chance of one false finding among all
    heads and takes account of heads that go together.
    """
    present = np.unique(labels)
    means = class_means(values, labels, classes)
    observed = selectivity(means)
    rng = np.random.default_rng(seed)
    one_hot = (labels[:, None] == present).astype(np.float64)
    one_hot /= one_hot.sum(0)
    null = np.empty((permutations, values.shape[1]))
    step = max(1, CHUNK // (len(present) * (values.shape[1] + len(values))))
    for start in range(0, permutations, step):
        count = min(step, permutations - start)
        orders = rng.permuted(np.tile(np.arange(len(labels)), (count, 1)), axis=1)
        shuffled = np.einsum("pnc,nu->pcu", one_hot[orders], values, optimize=True)
        null[start : start + count] = _index(np.maximum(shuffled, 0))
    mean, deviation = null.mean(0), null.std(0)
    deviation[deviation == 0] = np.inf  # a head that cannot vary cannot be selective
    highest = ((null - mean) / deviation).max(1)
    z = (observed - mean) / deviation
    reached = len(highest) - np.searchsorted(np.sort(highest), z, side="left")
    p_value = (1 + reached) / (1 + permutations)
    preferred = np.nan_to_num(means, nan=-np.inf).argmax(0)
    return SelectivityTest(observed, preferred, p_value, mean)


class TopHead(NamedTuple):
    """One of a class's most relevant heads.

    Attributes:
        head: its number among the U heads.
        confidence: share of bootstrap samples of the clips in which it ranks at least as high: the
            first stays first, the second stays among the first two, and so on; nan for one clip.
    """

    head: int
    confidence: float


def top_heads(values: Floats, count: int, *, seed: int = 0) -> list[TopHead]:
    """The ``count`` heads with the highest mean over the clips [N, U], the highest first.

    Their means over these clips are too high, as they were chosen for them: report those over
    other clips.
    """
    first = np.argsort(-values.mean(0), kind="stable")[:count]
    if len(values) < 2:
        return [TopHead(int(u), np.nan) for u in first]
    means = bootstrap_means(values, seed)
    heads = np.arange(values.shape[1])
    found = []
    for place, u in enumerate(first):
        own = means[:, u, None]
        ahead = (means > own) | ((means == own) & (heads < u))
        found.append(TopHead(int(u), float((ahead.sum(1) <= place).mean())))
    return found
