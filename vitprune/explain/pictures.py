"""Maps over frames: strips as PNG, clips as mp4. Viridis: dark blue is low, bright yellow high."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from vitprune.data.video import write_video
from vitprune.files import replacing

Frames = NDArray[np.uint8]
"""[T, H, W, 3], RGB."""
Floats = NDArray[np.float64]
OPACITY = 0.6
COLOURS = colormaps["viridis"]
SCALE = "attention over an even spread (1 = even)"


def frames_of(clip: Tensor, mean: Sequence[float], std: Sequence[float]) -> Frames:
    """What the model sees, as a picture: a normalised clip [3, T, H, W] to uint8 frames."""
    levels = clip.new_tensor(std)[:, None, None, None] * clip + clip.new_tensor(mean)[
        :, None, None, None
    ]
    return (levels.clamp(0, 1) * 255).round().byte().permute(1, 2, 3, 0).cpu().numpy()


def overlay(frames: Frames, density: Floats, highest: float) -> Frames:
    """Density [T, H, W] from 0 to ``highest`` in viridis over the frames."""
    colour = COLOURS(np.clip(density / highest, 0, 1))[..., :3] * 255
    return (OPACITY * colour + (1 - OPACITY) * frames).round().astype(np.uint8)


def write_strip(
    path: Path, frames: Frames, maps: Mapping[str, Floats], *, title: str, columns: int = 8
) -> None:
    """A clip's frames, and under them the same with each map over it and its own scale.

    Args:
        path: the PNG.
        frames: [T, H, W, 3].
        maps: name of the row -> density [T, H, W].
        title: above.
        columns: at most so many frames, evenly spread.
    """
    shown = np.unique(np.linspace(0, len(frames) - 1, columns).round().astype(int))
    rows: list[tuple[str, Frames, float | None]] = [("input", frames[shown], None)]
    for name, density in maps.items():
        highest = max(float(density.max()), 1.0)
        rows.append((name, overlay(frames, density, highest)[shown], highest))
    figure = Figure(
        figsize=(1.15 * len(shown) + 2.2, 1.2 * len(rows) + 0.75), dpi=110, layout="constrained"
    )
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(shown), squeeze=False)
    for line, (name, pictures, highest) in zip(axes, rows, strict=True):
        for number, axis, picture in zip(shown, line, pictures, strict=True):
            _show(axis, picture)
            if highest is None:
                axis.set_title(f"frame {number}", fontsize=7)
        line[0].set_ylabel(name, fontsize=9)
        if highest is not None:
            _scale(figure, line.tolist(), highest)
    figure.suptitle(f"{title}\ncolour: {SCALE}", fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary)


def write_rows(
    path: Path,
    panels: Sequence[tuple[str, Sequence[tuple[str, Sequence[tuple[Frames, Floats | None]]]]]],
    *,
    title: str,
) -> None:
    """Panels one above the other, in each a row per clip and a column per model.

    Args:
        path: the PNG.
        panels: (title of the panel, [(title of the column, one (frame, density) per clip)]), with
            frames [1, H, W, 3] and densities [1, H, W] or None for the frame alone.
        title: above all.
    """
    tallest = [max(len(column) for _, column in columns) for _, columns in panels]
    widest = max(len(columns) for _, columns in panels)
    figure = Figure(
        figsize=(1.9 * widest + 1.2, 1.75 * sum(tallest) + 0.55 * len(panels) + 0.6),
        dpi=100,
        layout="constrained",
    )
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(panels), 1, height_ratios=[n + 0.3 for n in tallest],
                              squeeze=False)[:, 0]  # fmt: skip
    for part, (heading, columns), height in zip(parts, panels, tallest, strict=True):
        part.suptitle(heading, fontsize=9)
        axes = part.subplots(height, len(columns), squeeze=False)
        for line, (name, column) in zip(axes.T, columns, strict=True):
            peaks = [float(d.max()) for _, d in column if d is not None]
            highest = max([1.0, *peaks])
            for axis, (frame, density) in zip(line, column, strict=True):
                _show(axis, frame[0] if density is None else overlay(frame, density, highest)[0])
            line[0].set_title(name, fontsize=8)
            if peaks:
                _scale(part, line.tolist(), highest)
    figure.suptitle(f"{title}\ncolour: {SCALE}", fontsize=9)
    with replacing(path) as temporary:
        figure.savefig(temporary)


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
    panels = [("input", frames, None)]
    for name, density in maps.items():
        highest = max(float(density.max()), 1.0)
        panels.append((name, overlay(frames, density, highest), highest))  # type: ignore[arg-type]
    pages = []
    for number in range(len(frames)):
        size = frames.shape[2] * zoom, frames.shape[1] * zoom
        page = Image.new("RGB", (len(panels) * (size[0] + 8) - 8, size[1] + 64), "white")
        draw = ImageDraw.Draw(page)
        draw.text((4, 3), f"{title}, frame {number}", fill="black")
        for i, (name, pictures, highest) in enumerate(panels):
            left = i * (size[0] + 8)
            draw.text((left + 4, 18), name, fill="black")
            picture = Image.fromarray(pictures[number]).resize(size, Image.Resampling.NEAREST)
            page.paste(picture, (left, 34))
            if highest is not None:
                ramp = COLOURS(np.linspace(0, 1, size[0] - 120))[None, :, :3] * 255
                bar = Image.fromarray(np.repeat(ramp.round().astype(np.uint8), 10, axis=0))
                page.paste(bar, (left + 20, size[1] + 42))
                draw.text((left + 6, size[1] + 40), "0", fill="black")
                draw.text((left + size[0] - 94, size[1] + 40), f"{highest:.1f} x even", fill="black")
        pages.append(np.asarray(page.crop((0, 0, page.width // 2 * 2, page.height // 2 * 2))))
    with replacing(path) as temporary:
        write_video(temporary, pages, fps=fps)


def _show(axis: Axes, picture: Frames) -> None:
    axis.imshow(picture, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)


def _scale(figure: FigureBase, axes: list[Axes], highest: float) -> None:
    bar = figure.colorbar(
        ScalarMappable(Normalize(0, highest), "viridis"), ax=axes, shrink=0.9, pad=0.01, aspect=12
    )
    bar.set_ticks([0, highest], labels=["0", f"{highest:.1f}×"], fontsize=7)
    bar.outline.set_visible(False)
