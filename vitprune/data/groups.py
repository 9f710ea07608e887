"""Splits, and the groups and subjects whose clips must stay together when data are split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import torch

from vitprune.errors import InputError

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = get_args(SplitName)


def held_out_groups(
    members: Sequence[tuple[str, int]], fraction: float, seed: int, where: str
) -> set[str]:
    """Whole groups to evaluate on, so that every class keeps training clips of other groups.

    Args:
        members: (group, label) of every clip.
        fraction: share of the groups, at least one of them.
        seed: of their choice.
        where: for the error.

    Raises:
        InputError: no group can be spared.
    """
    contents: dict[str, Counter[int]] = {}
    for group, label in members:
        contents.setdefault(group, Counter())[label] += 1
    groups = sorted(contents)
    left = Counter(label for _, label in members)
    wanted = max(1, round(fraction * len(groups)))
    chosen: set[str] = set()
    for i in torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed)).tolist():
        content = contents[groups[i]]
        if len(chosen) < wanted and all(left[label] > n for label, n in content.items()):
            left -= content
            chosen.add(groups[i])
    if not chosen:
        raise InputError(
            f"{where}, none of the {len(groups)} groups can be held out without losing a class in "
            "training; every class needs at least 2 groups"
        )
    return chosen


def joined(members: Iterable[tuple[str, str]]) -> list[str]:
    """The group of every member, which has two names: who shares any name is of one group.

    >>> joined([("anna", "1.mp4"), ("anna", "2.mp4"), ("2.mp4", "2.mp4"), ("ben", "3.mp4")])
    ['anna', 'anna', 'anna', 'ben']
    """
    joins: dict[str, str] = {}

    def group(name: str) -> str:
        while joins.setdefault(name, name) != name:
            name = joins[name]
        return name

    members = list(members)
    for name, other in members:
        joins[group(other)] = group(name)
    return [group(name) for name, _ in members]
