"""What ``python -m vitprune.data.check`` has found: on the terminal, and as a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console

from vitprune.report.page import templates
from vitprune.report.terminal import print_table

SHOWN = 20
"""Findings on the terminal; all are in the files."""
FACTS = {
    "clips": "Clips", "files": "Files", "subjects": "Subjects", "views": "Views",
    "seconds": "Seconds", "rates": "Frames per second", "sizes": "Pixels",
}  # fmt: skip


def print_dataset(facts: Mapping[str, Any], console: Console | None = None) -> None:
    """The splits and classes of a dataset, and what is wrong with it.

    Args:
        facts: as ``check.json`` has them.
        console: where to print; the terminal if not given.
    """
    console = console or Console()
    splits = list(facts["splits"])
    if splits:
        rows = [[title, *_fact(facts, key, splits)] for key, title in FACTS.items()]
        title = f"{facts['dataset']} in {facts['root']}"
        print_table(title, ["", *splits], rows, console)
        classes = [
            [name, *(str(counts[split]) for split in splits)]
            for name, counts in facts["classes"].items()
        ]
        print_table("Clips of each class", ["", *splits], classes, console)
    for finding in facts["findings"][:SHOWN]:
        console.print(_line(finding), highlight=False, soft_wrap=True, markup=False)
    if (more := len(facts["findings"]) - SHOWN) > 0:
        console.print(f"... and {more} more", highlight=False)
    console.print(verdict(facts), highlight=False)


def verdict(facts: Mapping[str, Any]) -> str:
    """Whether anything is wrong, in a sentence."""
    looked = "every frame was decoded" if facts["decoded"] else "frames were not decoded"
    if not facts["wrong"]:
        return f"Nothing is wrong ({looked})."
    return (
        f"{facts['wrong']} {'things are' if facts['wrong'] > 1 else 'thing is'} wrong ({looked})."
    )


def dataset_page(facts: Mapping[str, Any], thumbnails: Mapping[str, np.ndarray]) -> str:
    """A page that needs no other file.

    Args:
        facts: as ``check.json`` has them.
        thumbnails: uint8 [H, W, 3] by class.
    """
    splits = list(facts["splits"])
    return (
        templates()
        .get_template("dataset.html.jinja")
        .render(
            facts=facts,
            splits=splits,
            verdict=verdict(facts),
            rows=[[title, *_fact(facts, key, splits)] for key, title in FACTS.items()],
            pictures={name: _as_url(picture) for name, picture in thumbnails.items()},
            most=max((n for c in facts["classes"].values() for n in c.values()), default=1) or 1,
        )
    )


def _fact(facts: Mapping[str, Any], key: str, splits: Sequence[str]) -> list[str]:
    return [_written(key, facts["splits"][split][key]) for split in splits]


def _written(key: str, value: Any) -> str:
    if key == "seconds":
        if value is None:
            return ""
        least, middle, most = value
        return f"{least:.3g} to {most:.3g}, median {middle:.3g}"
    if isinstance(value, Mapping):
        few = [name if len(value) == 1 else f"{name} ({count})" for name, count in value.items()]
        return ", ".join(few[:4]) + (f" and {len(few) - 4} more" if len(few) > 4 else "")
    return ", ".join(value) if isinstance(value, list) else str(value or "")


def _line(finding: Mapping[str, Any]) -> str:
    return f"{'wrong' if finding['wrong'] else 'note'}, {finding['kind']}: {finding['line']}"


def _as_url(picture: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
