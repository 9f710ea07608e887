"""What the paper reports: its Table 1, and how it writes names."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import pandas as pd

TITLES = {
    "timesformer": "TimeSformer",
    "video_swin": "Video Swin",
    "mvit": "MViT",
    "ucf101": "UCF101",
    "dai": "DAI",
}
"""Models and datasets as the paper writes them, in its order."""
DATASETS = ("ucf101", "dai")
METRICS = ("JSD", "dProb", "R")
UNITS = {
    "layer": ("layer", "layers"),
    "attention": ("attention branch", "attention branches"),
    "mlp": ("MLP", "MLPs"),
    "head": ("head", "heads"),
    "neurons": ("group of neurons", "groups of neurons"),
    "any": ("unit of any kind", "units of any kind"),
}
"""What one unit of a scope is called, and what several are."""
DIRECTIONS = ("lowest", "highest")


def title(name: str) -> str:
    """A model's or dataset's name as the paper writes it; another name as it is."""
    return TITLES.get(name, name)


def called(scope: str, k: int = 2) -> str:
    """What k units of a scope are called: ``layer``, ``heads``."""
    one, several = UNITS.get(scope, ("unit", "units"))
    return one if k == 1 else several


def counted(k: int, scope: str = "layer") -> str:
    """``1 layer``, ``5 heads``."""
    return f"{k} {called(scope, k)}"


@cache
def table1() -> dict[tuple[str, int, str, str, str], float]:
    """(model, k, direction, metric, dataset) -> Top-1 in percent, from the supplement's Table 1."""
    path = files("vitprune.results").joinpath("data/paper_table1.csv")
    with path.open() as file:
        rows = pd.read_csv(file, comment="#").set_index(
            ["model", "pruned_layers", "direction", "metric"]
        )
    return {
        (*place, dataset): float(top1)
        for dataset in DATASETS
        for place, top1 in rows[f"{dataset}_top1"].items()
    }
