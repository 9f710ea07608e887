"""Charts are written whole."""

from pathlib import Path

import numpy as np
from PIL import Image

from vitprune.report.plots import plot_curve, plot_relevance


def test_relevance_chart_shows_dropped_and_kept(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    units = [str(i) for i in range(24)]
    mean = {metric: draw.normal(size=24) for metric in ("JSD", "dProb", "R")}
    error = {metric: np.full(24, 0.1) for metric in mean}
    path = tmp_path / "relevance.png"
    plot_relevance(
        path, units=units, mean=mean, standard_error=error, dropped=["3", "7"], title="t",
        selected="R",
    )  # fmt: skip
    colours = {tuple(c) for c in np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)}
    assert {(0x44, 0x77, 0xAA), (0xEE, 0x66, 0x77)} <= colours
    assert list(tmp_path.iterdir()) == [path]


def test_curve_chart_has_a_band_for_random(tmp_path: Path) -> None:
    top1 = {
        "lowest": np.array([[0.9, 0.9, 0.8]]),
        "highest": np.array([[0.9, 0.3, 0.1]]),
        "random": np.array([[0.9, 0.8, 0.5], [0.9, 0.4, 0.2]]),
    }
    plot_curve(tmp_path / "curve.png", top1=top1, latency_ms=[3.0, 2.5, 2.0], title="t")
    assert Image.open(tmp_path / "curve.png").size[0] > 500
