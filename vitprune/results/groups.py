"""Which cells of a sweep belong together, and in which order they are shown: the paper's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from vitprune.results.paper import TITLES, counted, title


@dataclass(frozen=True)
class Group:
    """A model, how many of its units are dropped, and settings that vary within the sweep.

    Attributes:
        model: its name.
        k: None where nothing of it is finished.
        settings: ``("model.recipe.lr=0.001",)``.
        seed: where it varies within the sweep.
        title: of the model, in tables.
        scope: of the units.
    """

    model: str
    k: int | None = None
    settings: tuple[str, ...] = ()
    seed: int | None = None
    title: str = field(default="", compare=False)
    scope: str = "layer"

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or title(self.model))

    @property
    def label(self) -> str:
        """``MViT (5 layers pruned)``."""
        inside = [] if self.k is None else [f"{counted(self.k, self.scope)} pruned"]
        inside += self.varying
        return self.title + (f" ({', '.join(inside)})" if inside else "")

    @property
    def name(self) -> str:
        """``MViT, k=5``."""
        k = [] if self.k is None else [f"k={self.k}"]
        return ", ".join([self.title, *k, *self.varying])

    @property
    def varying(self) -> tuple[str, ...]:
        """What varies within the sweep: ``("seed=1",)``."""
        return *self.settings, *(() if self.seed is None else (f"seed={self.seed}",))

    @property
    def order(self) -> tuple[int, str, int, tuple[str, ...]]:
        """A key to sort by: the paper's models first."""
        return *rank(self.model, [*TITLES]), self.k or 0, self.varying


def rank(name: str, first: Sequence[str]) -> tuple[int, str]:
    """A key to sort by: the names in ``first`` in its order, then the others by name."""
    return first.index(name) if name in first else len(first), name


def ordered(names: Iterable[str], first: Sequence[str]) -> list[str]:
    """``names`` by :func:`rank`, each once."""
    return sorted(set(names), key=lambda name: rank(name, first))


SEED = "seed"
DERIVED = ("dataset.seed",)
"""Settings that are the job's seed."""
RECOVERY = "recover."
"""Begins the settings of recovery, which the table shows by rows of their own."""
BUDGET = "budget."
"""Begins the settings of budgets, which the number of units says the outcome of."""


def varying(cells: pd.DataFrame) -> list[str]:
    """The settings that differ between cells of one model and dataset; ``seed`` comes last.

    Of several others that always differ together only the one with the shortest name.

    Args:
        cells: with the columns ``dataset``, ``model`` and ``settings``: dotted name -> value,
            empty where that is not known.
    """
    cells = cells[cells["settings"].astype(bool)]
    if cells.empty:
        return []
    texts = [{name: json.dumps(x) for name, x in found.items()} for found in cells["settings"]]
    values = pd.DataFrame(texts, cells.index).fillna("null")
    values = values[sorted(values, key=lambda name: (name.count("."), len(name), name))]
    places = [cells["dataset"], cells["model"]]
    numbers = values.groupby(places).transform(lambda column: column.factorize()[0])
    names = numbers.columns[numbers.any()]
    others = [
        name
        for name in names
        if name not in (SEED, *DERIVED) and not name.startswith((RECOVERY, BUDGET))
    ]
    return [*numbers[others].T.drop_duplicates().index, *names.intersection([SEED])]


def recoveries(cells: pd.DataFrame) -> list[str]:
    """What every cell's recovery is called: ``distill``, or ``distill, share=0.5`` where that
    differs between cells; empty where there is none.

    Args:
        cells: with the column ``settings``: dotted name -> value, empty where that is not known.
    """
    found = []
    for settings in cells["settings"]:
        own = {k: v for k, v in settings.items() if k.startswith(RECOVERY)}
        found.append({k.removeprefix(RECOVERY): v for k, v in own.items()})
    names = [own.get("name", "none") for own in found]
    labels = []
    for name, own in zip(names, found, strict=True):
        if name == "none":
            labels.append("")
            continue
        alike = [other for other in found if other.get("name") == name]
        differ = [k for k in sorted(own) if len({json.dumps(one.get(k)) for one in alike}) > 1]
        labels.append(", ".join([name, *(f"{k}={own[k]}" for k in differ)]))
    return labels
