"""Maps over frames: strips as PNG, clips as mp4. Viridis: dark blue is low, bright yellow high."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from vitprune.data.encoding import write_video
from vitprune.files import replacing
from vitprune.report.style import styled, write_png

Frames = NDArray[np.uint8]
"""[T, H, W, 3], RGB."""
Floats = NDArray[np.float64]
OPACITY = 0.6
COLOURS = colormaps["viridis"]
TOP = 0.99
"""The quantile at which a scale ends."""
WIDTH = 8.2
"""Of a figure with panels, in inches."""
SCALE = "attention over an even spread (1 = even); the highest 1 % are all yellow"


def frames_of(clip: Tensor, mean: Sequence[float], std: Sequence[float]) -> Frames:
    """What the model sees, as a picture: a normalised clip [3, T, H, W] to uint8 frames."""
    scale, shift = (torch.tensor(x)[:, None, None, None] for x in (std, mean))
    levels = scale * clip.float().cpu() + shift
    return (levels.clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).numpy()


def overlay(frames: Frames, density: Floats, highest: float) -> Frames:
    """Density [..., H, W] from 0 to ``highest`` in viridis over frames [..., H, W, 3]."""
    colour = COLOURS(np.clip(density / highest, 0, 1))[..., :3] * 255
    grey = frames @ np.array([0.299, 0.587, 0.114])  # so that all colour is the map's
    return (OPACITY * colour + (1 - OPACITY) * grey[..., None]).round().astype(np.uint8)


@styled
def write_strip(
    path: Path, frames: Frames, maps: Mapping[str, Floats], *, title: str, columns: int = 8
) -> None:
    """A clip's frames, and under them the same with each map over it and its own scale, as PNG.

    Args:
        path: the PNG.
        frames: [T, H, W, 3].
        maps: name of the row -> density [T, H, W].
        title: above.
        columns: at most so many frames, evenly spread.
    """
    shown = np.unique(np.linspace(0, len(frames) - 1, columns).round().astype(int))
    rows = _beside_input(frames, maps)
    figure = Figure(figsize=(1.15 * len(shown) + 2.2, 1.2 * len(rows) + 0.75), dpi=110)
    *pictures, bars = figure.subplots(
        len(rows), len(shown) + 1, squeeze=False, width_ratios=[*[1] * len(shown), 0.07]
    ).T
    for number, column in zip(shown, pictures, strict=True):
        column[0].set_title(f"frame {number}")
        for axis, row in zip(column, rows, strict=True):
            _show(axis, row.frames[number])
    for axis, bar, row in zip(pictures[0], bars, rows, strict=True):
        axis.set_ylabel(row.name)
        if row.highest is None:
            bar.set_axis_off()
        else:
            _scale(figure, row.highest, cax=bar)
    write_png(figure, path, f"{title}\ncolour: {SCALE}")


class _Shown(NamedTuple):
    """A clip in one way: [T, H, W, 3], and where its scale ends if it has one."""

    name: str
    frames: Frames
    highest: float | None


def _beside_input(frames: Frames, maps: Mapping[str, Floats]) -> list[_Shown]:
    """The clip as it is, then under each map [T, H, W]."""
    rows = [_Shown("input", frames, None)]
    for name, density in maps.items():
        highest = _highest([density])
        rows.append(_Shown(name, overlay(frames, density, highest), highest))
    return rows


@dataclass(frozen=True)
class Series:
    """Single frames [H, W, 3] of some clips, plain (None) or under a density [H, W] each."""

    name: str
    pictures: Sequence[tuple[Frames, Floats | None]]


@dataclass(frozen=True)
class Panel:
    """The same clips in several ways: a column each, or a row each if the clips go ``across``."""

    title: str
    series: Sequence[Series]
    clips: Sequence[str]
    across: bool = False


@styled
def write_panels(path: Path, panels: Sequence[Panel], *, title: str) -> None:
    """Panels one above the other, as PNG; every series has a scale of its own."""
    tall = [len(p.series) if p.across else len(p.clips) for p in panels]
    figure = Figure(figsize=(WIDTH, sum(1.35 * n + 0.6 for n in tall) + 0.5), dpi=100)
    ratios = [n + 0.5 for n in tall]
    parts = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=ratios)
    for part, panel in zip(parts.flat, panels, strict=True):
        if not panel.across:  # over the whole width, gaps would be wider than the pictures
            inner = min(1.9 * len(panel.series), 0.98 * WIDTH)
            sides = (WIDTH - inner) / 2
            _, part, _ = part.subfigures(1, 3, width_ratios=[sides, inner, sides])
        part.suptitle(panel.title, fontsize=9)
        shape = (len(panel.series), len(panel.clips))
        axes = part.subplots(*(shape if panel.across else shape[::-1]), squeeze=False)
        lines = axes if panel.across else axes.T
        for line, series in zip(lines, panel.series, strict=True):
            densities = [density for _, density in series.pictures if density is not None]
            highest = _highest(densities)
            for axis, (frame, density) in zip(line, series.pictures, strict=True):
                _show(axis, frame if density is None else overlay(frame, density, highest))
            if panel.across:
                line[0].set_ylabel(series.name)
            else:
                line[0].set_title(series.name)
            if densities:
                aspect = 12 if panel.across else 12 * len(line)
                _scale(part, highest, ax=line.tolist(), shrink=0.9, pad=0.01, aspect=aspect)
        for axis, name in zip(lines[0], panel.clips, strict=True):
            (axis.set_title if panel.across else axis.set_ylabel)(name)
    write_png(figure, path, f"{title}\ncolour: {SCALE}")


def _highest(densities: Sequence[Floats]) -> float:
    """Where the scale ends: single bright tokens must not leave the rest dark."""
    return max(1.0, float(np.quantile(np.stack(densities), TOP))) if densities else 1.0


def write_clip(
    path: Path, frames: Frames, maps: Mapping[str, Floats], *, title: str, fps: int = 4
) -> None:
    """The clip and its maps side by side, as H.264.

    Args:
        path: the mp4.
        frames: [T, H, W, 3].
        maps: name of the panel -> density [T, H, W].
        title: above.
        fps: frames per second.
    """
    zoom = max(1, round(256 / frames.shape[1]))
    width, height = frames.shape[2] * zoom, frames.shape[1] * zoom
    panels = _beside_input(frames, maps)
    pages = []
    for number in range(len(frames)):
        page = Image.new("RGB", (len(panels) * (width + 8) - 8, height + 64), "white")
        draw = ImageDraw.Draw(page)
        draw.text((4, 3), f"{title}, frame {number}", fill="black")
        for i, panel in enumerate(panels):
            left = i * (width + 8)
            draw.text((left + 4, 18), panel.name.replace("\n", ", "), fill="black")
            picture = Image.fromarray(panel.frames[number])
            page.paste(picture.resize((width, height), Image.Resampling.NEAREST), (left, 34))
            if panel.highest is not None:
                ramp = COLOURS(np.linspace(0, 1, width - 120))[None, :, :3] * 255
                bar = Image.fromarray(np.repeat(ramp.round().astype(np.uint8), 10, axis=0))
                page.paste(bar, (left + 20, height + 42))
                draw.text((left + 6, height + 40), "0", fill="black")
                end = f"{panel.highest:.1f} x even"
                draw.text((left + width - 94, height + 40), end, fill="black")
        pages.append(np.asarray(page.crop((0, 0, page.width // 2 * 2, page.height // 2 * 2))))
    with replacing(path) as temporary:
        write_video(temporary, pages, fps=fps)


def _show(axis: Axes, picture: Frames) -> None:
    axis.imshow(picture, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def _scale(figure: FigureBase, highest: float, **where: Any) -> None:
    """A colour bar from 0 to ``highest``; ``where`` is for ``Figure.colorbar``."""
    bar = figure.colorbar(ScalarMappable(Normalize(0, highest), "viridis"), **where)
    bar.set_ticks([0, highest], labels=["0", f"{highest:.1f}×"], fontsize=7)
    bar.outline.set_visible(False)
