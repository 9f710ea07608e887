"""What the paper reports: its Table 1, and how it writes names."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple

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
DIRECTIONS = ("lowest", "highest")


class Place(NamedTuple):
    """Where in Table 1 a figure stands."""

    model: str
    k: int
    direction: str
    metric: str
    dataset: str


def title(name: str) -> str:
    """A model's or dataset's name as the paper writes it; another name as it is."""
    return TITLES.get(name, name)


def layers(k: int) -> str:
    """``1 layer``, ``5 layers``."""
    return f"{k} layer{'s' * (k != 1)}"


@cache
def table1() -> dict[Place, float]:
    """Top-1 in percent, from the supplement's Table 1 (``data/paper_table1.csv``)."""
    text = files("vitprune.results").joinpath("data/paper_table1.csv").read_text()
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return {
        Place(row["model"], int(row["pruned_layers"]), row["direction"], row["metric"], dataset): (
            float(row[f"{dataset}_top1"])
        )
        for row in rows
        for dataset in DATASETS
    }
