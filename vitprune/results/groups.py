"""Which cells of a sweep belong together, and in which order they are shown: the paper's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from vitprune.results.paper import TITLES, layers, title


@dataclass(frozen=True)
class Group:
    """A model, how many of its layers are dropped, and settings that vary within the sweep.

    Attributes:
        model: its name.
        k: None where nothing of it is finished.
        settings: ``("seed=1",)``.
        title: of the model, in tables.
    """

    model: str
    k: int | None = None
    settings: tuple[str, ...] = ()
    title: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or title(self.model))

    @property
    def label(self) -> str:
        """``MViT (5 layers pruned)``."""
        inside = [] if self.k is None else [f"{layers(self.k)} pruned"]
        inside += self.settings
        return self.title + (f" ({', '.join(inside)})" if inside else "")

    @property
    def name(self) -> str:
        """``MViT, k=5``."""
        k = [] if self.k is None else [f"k={self.k}"]
        return ", ".join([self.title, *k, *self.settings])

    @property
    def order(self) -> tuple[int, str, int, tuple[str, ...]]:
        """A key to sort by: the paper's models first."""
        return *rank(self.model, [*TITLES]), self.k or 0, self.settings


def rank(name: str, first: Sequence[str]) -> tuple[int, str]:
    """A key to sort by: the names in ``first`` in its order, then the others by name."""
    return first.index(name) if name in first else len(first), name


def ordered(names: Iterable[str], first: Sequence[str]) -> list[str]:
    """``names`` by :func:`rank`, each once."""
    return sorted(set(names), key=lambda name: rank(name, first))


def varying(cells: pd.DataFrame) -> list[str]:
    """The settings that differ between cells of one model and dataset.

    Of several that always differ together, such as a seed and what is derived from it, only the
    one with the shortest name.

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
    return numbers.loc[:, numbers.any()].T.drop_duplicates().index.tolist()
