"""Which units go first where what they save differs: relevance per cost, and units within units."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vitprune.models.unit import Unit, outermost

NOTHING = 1e-9
"""What a unit saves beside others that went before counts from this share of its own on."""


def by_cost(
    relevance: Mapping[Unit, float], saved: Mapping[Unit, float], direction: str = "lowest"
) -> list[Unit]:
    """The order in which units of all kinds go, the least relevance for what they save first.

    Units contain each other. Once a unit has gone, what lies in it is out. One that contains some
    that have gone saves only the remainder, at the price of only the remainder of its relevance: at
    every step the relevance of all that is gone is taken to be the sum over the outermost units,
    and the unit is next that adds least to it for what it saves. Where it adds less than nothing,
    as :func:`price` says.

    At least one layer stays, and what saves nothing does.

    Args:
        relevance: of every unit that a model has.
        saved: what dropping each of them alone saves; of a unit, at least as much as its parts.
        direction: ``highest`` for the most relevance first.

    Example:
        >>> from vitprune.models.unit import read_units
        >>> units = read_units("0,0.mlp,0.mlp.0,1")
        >>> saved = dict(zip(units, (10, 5, 1, 10)))
        >>> relevance = dict(zip(units, (0.5, 0.2, 0.01, 0.9)))
        >>> [str(unit) for unit in by_cost(relevance, saved)]  # 0.mlp: 0.19 for 4; 0: 0.3 for 5
        ['0.mlp.0', '0.mlp', '0']
    """
    sign = 1 if direction == "lowest" else -1
    units = sorted(relevance)
    costs, adds = dict(saved), dict(relevance)
    order: list[Unit] = []
    waiting = list(units)
    while waiting := [
        unit for unit in waiting if costs[unit] > NOTHING * saved[unit] and saved[unit] > 0
    ]:
        unit = min(waiting, key=lambda unit: sign * price(adds[unit], costs[unit]))
        waiting.remove(unit)
        if not leaves_a_layer([*order, unit], units):
            continue
        order.append(unit)
        waiting = [other for other in waiting if unit not in other.within]
        for larger in unit.within:
            if larger in costs:
                costs[larger] -= costs[unit]
                adds[larger] -= adds[unit]
    return order


def by_price(
    relevance: Mapping[Unit, float], saved: Mapping[Unit, float], direction: str = "lowest"
) -> list[Unit]:
    """All units that save something, each as if no other had gone; see :func:`by_cost`."""
    sign = 1 if direction == "lowest" else -1
    units = [unit for unit in sorted(relevance) if saved[unit] > 0]
    return sorted(units, key=lambda unit: sign * price(relevance[unit], saved[unit]))


def price(relevance: float, cost: float) -> float:
    """Relevance per cost; times cost where it is negative, so that of two units of equal relevance
    the one that saves more always comes first.

    >>> price(0.2, 4), price(-0.2, 4)
    (0.05, -0.8)
    """
    return relevance / cost if relevance > 0 else relevance * cost


def leaves_a_layer(units: Sequence[Unit], among: Collection[Unit]) -> bool:
    """Whether dropping some units leaves a layer of a model that has those of ``among``.

    Where these are of one kind, and not layers, as long as one of them stays.
    """
    layers = {unit for unit in among if unit.scope == "layer"}
    gone = {*outermost(units, among)}
    return bool((layers or {*among}) - gone)


def remaining(costs: Mapping[Unit, float], there: Collection[Unit]) -> dict[Unit, float]:
    """What units save of a smaller model, in which some are gone.

    Args:
        costs: what each unit of the whole model saves.
        there: the units that the smaller one still has.
    """
    left = {unit: costs[unit] for unit in there}
    for unit in outermost([unit for unit in costs if unit not in left], costs):
        for larger in unit.within:
            if larger in left:
                left[larger] -= costs[unit]
    return left
