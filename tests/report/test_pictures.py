"""Strips and clips: what is written, and in which colours."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image

from vitprune.importance import Unit
from vitprune.report.figures import as_grid, grid_of, plot_heads
from vitprune.report.pictures import (
    Panel,
    Series,
    frames_of,
    overlay,
    write_clip,
    write_panels,
    write_strip,
)

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 30, 40, 3)).astype(np.uint8)


def density(t: int = 5) -> np.ndarray:
    """All of it on the upper right quarter."""
    found = np.zeros((t, 30, 40))
    found[:, :15, 20:] = 4.0
    return found


def test_frames_are_what_the_model_was_shown() -> None:
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    clip = torch.from_numpy(FRAMES).permute(3, 0, 1, 2).float() / 255
    normal = (clip - torch.tensor(mean)[:, None, None, None]) / torch.tensor(std)[
        :, None, None, None
    ]
    np.testing.assert_array_equal(frames_of(normal, mean, std), FRAMES)


def test_viridis_from_dark_blue_to_bright_yellow() -> None:
    black = np.zeros_like(FRAMES)
    red, green, blue = overlay(black, density(), 4.0)[0].astype(int).transpose(2, 0, 1)
    assert blue[20, 5] > red[20, 5] > 0
    assert green[20, 5] < 5
    assert red[5, 30] > 140
    assert green[5, 30] > 130
    assert blue[5, 30] < 30
    grey = overlay(FRAMES, np.zeros((5, 30, 40)), 1.0).astype(int)
    low = overlay(black, np.zeros((5, 30, 40)), 1.0)[0, 0, 0]
    shades = grey - low
    assert np.abs(shades - shades[..., :1]).max() <= 1  # all colour is the map's


def test_a_strip_and_a_clip_are_written(tmp_path: Path) -> None:
    maps = {"head 22.4": density(), "head 22.7": np.full((5, 30, 40), 1.0)}
    write_strip(tmp_path / "strip.png", FRAMES, maps, title="a clip")
    with Image.open(tmp_path / "strip.png") as picture:
        assert picture.width > picture.height > 300
    write_clip(tmp_path / "clip.mp4", FRAMES, maps, title="a clip")
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        pages = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(pages) == 5
    # input, then the first head: bright on the upper right quarter only
    width = (pages[0].shape[1] + 8) // 3
    panel = pages[2][34 : 34 + 30 * 9, width : width + 40 * 9].astype(int)
    yellow = panel[..., 0] - panel[..., 2]
    assert yellow[60:120, 200:340].mean() > yellow[160:240, 20:160].mean() + 60
    assert not list(tmp_path.glob(".*"))


def test_panels_are_written(tmp_path: Path) -> None:
    frame, found = FRAMES[0], density()[0]
    looks = [Series("input", [(frame, None)] * 2), Series("head 1.0", [(frame, found)] * 2)]
    panels = [Panel("one", looks, ["a", "b"], across=True), Panel("two", looks, ["a", "b"])]
    write_panels(tmp_path / "panels.png", panels, title="both")
    with Image.open(tmp_path / "panels.png") as picture:
        assert picture.size[0] > 700


def test_heads_in_a_grid(tmp_path: Path) -> None:
    units = [
        Unit(0, number=0),
        Unit(1, "time", 0),
        Unit(1, "time", 1),
        Unit(1, number=0),
        Unit(1, number=1),
    ]
    rows, places = grid_of(units)
    assert rows == ["0", "1 time", "1"]
    assert places == [(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)]
    grid = as_grid(units, np.arange(5.0))
    np.testing.assert_array_equal(grid, [[0, np.nan], [1, 2], [3, 4]])
    values = np.array([-1e-5, 0.0, 1e-4, 1e-3, 0.5])
    for panels in ({"one": values, "all alike": np.zeros(5)}, {str(i): values for i in range(30)}):
        one_scale = len(panels) > 2
        plot_heads(tmp_path / "heads.png", units, panels, title="heads", one_scale=one_scale)
        assert (tmp_path / "heads.png").read_bytes().startswith(b"\x89PNG")
