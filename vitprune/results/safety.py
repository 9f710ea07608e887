"""What a smaller model costs whom: changes of every class, subject and view, and of its confidence.

An average hides who pays for it. A *safety card* compares a smaller model with the full one on the
very same videos, group by group, and names the classes that lose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitprune.results.statistics import holm, mcnemar

NOTABLE = 5.0
"""A class that loses more points of recall than this is named."""


@dataclass(frozen=True)
class Change:
    """How often the videos of one group are right, before and after.

    Attributes:
        name: of the class, subject or view.
        videos: how many it has.
        full: share of them that the full model has right, in [0, 1]: of a class its recall.
        smaller: the same of the smaller model.
        right_to_wrong: how many videos turned wrong.
        wrong_to_right: how many turned right.
        p_value: McNemar's exact one, that both are right equally often.
        p_holm: that one, corrected by Holm for all groups of the kind.
    """

    name: str
    videos: int
    full: float
    smaller: float
    right_to_wrong: int
    wrong_to_right: int
    p_value: float
    p_holm: float

    @property
    def points(self) -> float:
        """Change in percentage points; negative for a loss."""
        return 100 * (self.smaller - self.full)


@dataclass(frozen=True)
class Flip:
    """A video that the full model has right and the smaller one has not, by names of classes."""

    video: str
    label: str
    prediction: str


@dataclass(frozen=True)
class SafetyCard:
    """A smaller model beside the full one.

    Attributes:
        groups: kind of groups (``class``, ``subject``, ``view``) -> its groups, the heaviest loss
            first. A kind is there only if it has several groups.
        flips: the videos that turned wrong.
        ece: expected calibration error of ``full`` and ``smaller``, in [0, 1].
    """

    groups: Mapping[str, Sequence[Change]]
    flips: Sequence[Flip]
    ece: Mapping[str, float]

    def lost(self, points: float = NOTABLE) -> list[Change]:
        """The classes that lost more than so many points, the heaviest loss first."""
        # Shares of whole videos: a loss of 5 points exactly is not one of more than 5.
        return [one for one in self.groups.get("class", ()) if one.points < -points - 1e-9]

    def plain(self) -> dict[str, Any]:
        """As ``results.json`` has it; ``lost`` names the classes that lost more than
        :data:`NOTABLE` points."""
        return {
            "lost": [one.name for one in self.lost()],
            "ece": dict(self.ece),
            "groups": {kind: [asdict(one) for one in all_] for kind, all_ in self.groups.items()},
            "flips": [asdict(flip) for flip in self.flips],
        }

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> SafetyCard:
        """The card that :meth:`plain` told of."""
        groups = {kind: [Change(**one) for one in all_] for kind, all_ in plain["groups"].items()}
        return cls(groups, [Flip(**flip) for flip in plain["flips"]], plain["ece"])


def changes(
    groups: Sequence[str], before: NDArray[np.bool_], after: NDArray[np.bool_]
) -> list[Change]:
    """How every group changes, the heaviest loss first; of equal losses by name.

    Args:
        groups: of each of N videos the name of its group; those without a name are left out.
        before: which videos the full model has right, [N].
        after: the same of the smaller one, [N].
    """
    of = np.asarray(groups)
    names = sorted({*groups} - {""})
    sides = []
    for name in names:
        own = of == name
        lost, won = int((own & before & ~after).sum()), int((own & ~before & after).sum())
        sides.append((name, own, lost, won, mcnemar(lost, won)))
    corrected = holm([p for *_, p in sides])
    found = [
        Change(
            name, int(own.sum()), float(before[own].mean()), float(after[own].mean()), lost, won, p,
            p_holm,
        )
        for (name, own, lost, won, p), p_holm in zip(sides, corrected, strict=True)
    ]  # fmt: skip
    return sorted(found, key=lambda one: (one.points, one.name))
