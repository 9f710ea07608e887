"""What can be ablated and dropped: a layer, one of its branches, or a part of a branch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import total_ordering
from typing import TypeAlias

SCOPES = ("layer", "attention", "mlp", "head", "neurons")
"""The kinds of units."""
ANY = "any"
"""All kinds together."""
NEURONS = "neurons"
"""Groups of hidden neurons."""
ATTENTION, MLP = "attention", "mlp"
"""What a layer's branches are called: all of its attentions, and its MLP."""

WRITTEN = re.compile(rf"(\d+)(?:\.({ATTENTION}|{MLP})|(?:\.|h|\.([^\W\d]\w*)\.h?)(\d+))?", re.ASCII)
"""Layer; layer and branch; layer and head; layer, branch and number."""


@total_ordering
@dataclass(frozen=True)
class Unit:
    """A unit, by the numbers that it has in the unpruned model.

    ======================  ==============================  ===================
    scope                   unit                            written
    ======================  ==============================  ===================
    ``layer``               ``Unit(3)``                     ``3``
    ``attention``, ``mlp``  ``Unit(3, "mlp")``              ``3.mlp``
    ``head``                ``Unit(3, number=7)``           ``3.7``
    ``head``                ``Unit(3, "time", 7)``          ``3.time.7``
    ``neurons``             ``Unit(3, "mlp", 5)``           ``3.mlp.5``
    ======================  ==============================  ===================

    Units sort in order of execution: by layer, then by branch (attentions by name, the last one
    after the others), then by number. What is larger comes before what it is made of.

    Attributes:
        layer: the layer's number.
        branch: ``mlp``; ``attention`` for all attentions of the layer; of a head, the name of its
            attention where the layer has several, and empty for the layer's last one.
        number: of the head, or of the group of hidden neurons.

    Example:
        >>> str(Unit(22, number=4)), str(Unit(3, "time", 5)), str(Unit(9, "mlp"))
        ('22.4', '3.time.5', '9.mlp')
        >>> texts = ["10", "3.mlp.0", "3.mlp", "3.5", "3.time.5", "3.attention", "3"]
        >>> [str(unit) for unit in sorted(map(Unit.parse, texts))]
        ['3', '3.attention', '3.time.5', '3.5', '3.mlp', '3.mlp.0', '10']
    """

    layer: int
    branch: str = ""
    number: int | None = None

    def __str__(self) -> str:
        parts = [str(self.layer), self.branch, "" if self.number is None else str(self.number)]
        return ".".join(part for part in parts if part)

    @property
    def scope(self) -> str:
        """Which of :data:`SCOPES` the unit is of."""
        if self.number is None:
            return self.branch or "layer"
        return "neurons" if self.branch == MLP else "head"

    @property
    def within(self) -> tuple[Unit, ...]:
        """The units that it is part of, the largest first.

        >>> [str(unit) for unit in Unit(3, "mlp", 5).within], Unit(3).within
        (['3', '3.mlp'], ())
        """
        if self.scope == "layer":
            return ()
        if self.number is None:
            return (Unit(self.layer),)
        return Unit(self.layer), Unit(self.layer, MLP if self.branch == MLP else ATTENTION)

    def __lt__(self, other: Unit) -> bool:
        return self._key() < other._key()

    def _key(self) -> tuple[int, int, str, int]:
        if self.number is None and not self.branch:
            place = 0
        elif self.branch == MLP:
            place = 4
        elif self.number is None:
            place = 1
        else:
            place = 2 if self.branch else 3
        return self.layer, place, self.branch, -1 if self.number is None else self.number

    @classmethod
    def parse(cls, text: str) -> Unit:
        """The unit that is written ``text``.

        An ``h`` may mark a head's number: ``22h10`` is ``22.10``, and ``3.time.h5`` is
        ``3.time.5``. So no reader of configurations takes head 22.10 for the number 22.1.

        A layer's last attention may be named as well; :func:`vitprune.models.places.resolved`
        takes the name off.

        Raises:
            ValueError: it is none of these.
        """
        if not (found := WRITTEN.fullmatch(text)):
            raise ValueError(
                f"{text!r} is no unit; write a layer (3), a branch (3.attention, 3.mlp), a head "
                "(3.5, 3h5 or 3.time.5) or a group of neurons (3.mlp.5)"
            )
        layer, whole, branch, number = found.groups()
        return cls(int(layer), whole or branch or "", None if number is None else int(number))


Units: TypeAlias = str | Unit | Iterable[str | int | Unit]
"""Units as they may be given: ``"3.attention,5.7"``, a unit, or a list; a number is a layer."""


def read_units(given: Units) -> list[Unit]:
    """The units that are given.

    Raises:
        ValueError: a text that is no unit.

    Example:
        >>> read_units("3.attention, 9.mlp.2") == read_units(["3.attention", Unit(9, "mlp", 2)])
        True
    """
    if isinstance(given, Unit):
        return [given]
    every = given.split(",") if isinstance(given, str) else given
    return [one if isinstance(one, Unit) else Unit.parse(str(one).strip()) for one in every]


def outermost(units: Sequence[Unit], among: Iterable[Unit]) -> list[Unit]:
    """The units without those that are part of others; dropping them drops the same.

    All branches of a layer are the layer, which goes when the last of them does.

    Args:
        units: in the order in which they go.
        among: all that there were to choose from.

    Example:
        >>> units = read_units("3.5,4.mlp,3,4.attention,2.mlp.1")
        >>> [str(unit) for unit in outermost(units, read_units("2,3,4,4.attention,4.mlp"))]
        ['3', '4', '2.mlp.1']
    """
    there = set(among)
    branches: dict[Unit, set[Unit]] = {unit: set() for unit in there if unit.scope == "layer"}
    for unit in there:
        if unit.scope in (ATTENTION, MLP) and unit.within[0] in there:
            branches[unit.within[0]].add(unit)
    going = {unit: place for place, unit in enumerate(units)}
    for layer, own in branches.items():
        if own and layer not in going and own <= going.keys():
            going[layer] = max(going[branch] for branch in own)
    outer = [unit for unit in going if going.keys().isdisjoint(unit.within)]
    return sorted(outer, key=lambda unit: going[unit])


def in_words(units: Iterable[Unit]) -> str:
    """Units in a sentence: ``layers 3, 5, head 2.4, 7.mlp``."""
    by_scope: dict[str, list[Unit]] = {}
    for unit in units:
        by_scope.setdefault(unit.scope, []).append(unit)
    parts = []
    for scope, found in by_scope.items():
        kind = f"{scope}{'s' * (len(found) > 1)} " if scope in ("layer", "head") else ""
        parts.append(kind + ", ".join(map(str, found)))
    return ", ".join(parts)


def check_scope(scope: str) -> None:
    """Raises ValueError, naming the scopes, if ``scope`` is neither one of them nor ``any``."""
    if scope not in (*SCOPES, ANY):
        raise ValueError(f"scope={scope!r} is not one of {', '.join(SCOPES)}, {ANY}")
