"""``explorer.html``: all that is known of a model's heads, on one page that needs no other file."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from vitprune.files import replacing
from vitprune.report.pictures import Frames
from vitprune.results.statistics import Intervals

Floats = NDArray[np.float64]
FRAMES = 4
"""Frames of a strip."""
SIDE = 96
"""Most pixels of a frame's side."""
SQUARES = 16
"""Most squares along a side of a frame's map; finer maps are averaged."""
DATA = "/*DATA*/null"
"""What the template has where the data go."""


@dataclass(frozen=True)
class Strip:
    """A clip and where every head looks in it.

    Attributes:
        video: its name.
        label: number of its class.
        frames: [t, h, w, 3].
        levels: 0 to 255 of each head's own highest value, [U, t, squares, squares].
        highest: those highest values, 1 being even, [U].
    """

    video: str
    label: int
    frames: Frames
    levels: NDArray[np.uint8]
    highest: Floats


def shown_frames(frames: int) -> NDArray[np.int64]:
    """Which of a clip's frames a strip shows."""
    return np.unique(np.linspace(0, frames - 1, FRAMES).round().astype(np.int64))


def small_frames(frames: Frames) -> Frames:
    """The shown frames [t, h, w, 3], no larger than :data:`SIDE`."""
    height, width = frames.shape[1:3]
    share = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return np.stack(
        [np.asarray(Image.fromarray(frames[i]).resize(size)) for i in shown_frames(len(frames))]
    )


def small_map(density: Floats) -> tuple[NDArray[np.uint8], float]:
    """A map [T, H, W] as levels [t, squares, squares] of its highest value, and that value."""
    shown = torch.from_numpy(density[shown_frames(len(density))])
    squares = torch.nn.functional.adaptive_avg_pool2d(shown, SQUARES).numpy()
    highest = max(float(squares.max()), 1e-9)
    return (255 * squares / highest).round().astype(np.uint8), highest


def write_explorer(
    path: Path,
    *,
    title: str,
    note: str,
    rows: Sequence[str],
    places: Sequence[tuple[int, int]],
    names: Sequence[str],
    classes: Sequence[str],
    relevance: Mapping[str, Floats],
    metric: str,
    figures: Mapping[str, NDArray[Any]],
    top: int,
    boxes: Mapping[str, Mapping[str, Any]],
    strips: Sequence[Strip],
) -> None:
    """Writes the page.

    Args:
        path: the HTML file.
        title: what model on what data.
        note: on which clips and how.
        rows: names of the heat map's rows.
        places: (row, column) of each of the U heads.
        names: of the heads.
        classes: their names.
        relevance: metric -> relevance over all clips and then over each class's, [1 + C, U].
        metric: the one shown first.
        figures: ``consistency``, ``selectivity``, ``p`` and ``preferred`` (a class), each [U].
        top: how many heads count as top ones in ``consistency``.
        boxes: kind of object -> ``lift`` and ``hit`` (intervals [U]), ``elsewhere`` [U], ``share``.
        strips: at most one a class is shown.
    """
    data = {
        "title": title,
        "note": note,
        "rows": list(rows),
        "places": [list(place) for place in places],
        "names": list(names),
        "classes": list(classes),
        "metric": metric,
        "relevance": {name: _plain(values) for name, values in relevance.items()},
        "figures": {name: _plain(values) for name, values in figures.items()},
        "top": top,
        "boxes": {kind: {k: _plain(v) for k, v in found.items()} for kind, found in boxes.items()},
        "strips": [_strip(strip) for strip in strips],
        "viridis": (colormaps["viridis"](np.linspace(0, 1, 64))[:, :3] * 255).round().tolist(),
    }
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    template = files("vitprune.report").joinpath("explorer.html").read_text(encoding="utf-8")
    with replacing(path) as temporary:
        temporary.write_text(template.replace(DATA, text), encoding="utf-8")


def _strip(strip: Strip) -> dict[str, Any]:
    """Frames side by side as one picture, and all heads' maps, one below the other, as another."""
    heads, frames, height, width = strip.levels.shape
    maps = strip.levels.transpose(0, 2, 1, 3).reshape(heads * height, frames * width)
    beside = np.concatenate(list(strip.frames), axis=1)
    return {
        "video": strip.video,
        "label": strip.label,
        "count": frames,
        "frames": _data_uri(Image.fromarray(beside), "WEBP", quality=85),
        "maps": _data_uri(Image.fromarray(maps), "PNG", optimize=True),
        "highest": _plain(strip.highest),
    }


def _data_uri(image: Image.Image, kind: str, **options: Any) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _plain(values: Any) -> Any:
    """For JSON: lists, five digits, null for nan."""
    if isinstance(values, Intervals):
        return {name: _plain(part) for name, part in values._asdict().items()}
    if isinstance(values, np.ndarray):
        return [_plain(value) for value in values.tolist()]
    if isinstance(values, list):
        return [_plain(value) for value in values]
    if isinstance(values, float):
        return float(f"{values:.5g}") if np.isfinite(values) else None
    return values
