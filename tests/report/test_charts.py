"""A chart is drawn once: the same in a file and in a page."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from vitprune.report import charts
from vitprune.report.style import COLOURS, DARK, HIGHEST, LOWEST, Chart

METRICS = ["JSD", "dProb", "R", "cosine", "taylor", "magnitude", "random"]


def relevance(count: int = 24) -> Chart:
    draw = np.random.default_rng(0)
    mean = {metric: draw.normal(size=count) for metric in ("JSD", "dProb", "R")}
    error = {metric: np.full(count, 0.1) for metric in mean}
    dropped = {"R": {"lowest": [3, 7], "highest": [9]}}
    return charts.relevance("Relevance", [str(i) for i in range(count)], mean, error, dropped)


def curves() -> Chart:
    top1 = {
        (direction, metric): {k: [0.9 - 0.1 * k, 0.9 - 0.2 * k] for k in range(4)}
        for direction in ("lowest", "highest")
        for metric in METRICS
    }
    top1["random", ""] = {k: [0.9, 0.9 - 0.3 * k, 0.5] for k in range(4)}
    return charts.curves("Top-1", {"oneshot": top1, "greedy": top1}, METRICS, {"98 %": 0.88})


def colours(path: Path) -> set[tuple[int, ...]]:
    return {tuple(c) for c in np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)}


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(round(255 * part) for part in to_rgb(colour))


def test_relevance_chart_shows_dropped_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "relevance.png"
    relevance().write(path)
    assert {rgb(c) for c in (COLOURS["kept"], LOWEST, HIGHEST)} <= colours(path)
    assert list(tmp_path.iterdir()) == [path]


def test_curves_of_many_metrics_have_a_line_and_a_band_each(tmp_path: Path) -> None:
    chart = curves()
    lines = re.findall(r"<title>(.*?), (.*?), 3 dropped: ", chart.svg)
    ways = {f"{way} {metric}" for way in ("lowest", "highest") for metric in METRICS}
    ways |= {"layers at random"}
    assert {*lines} == {(panel, way) for panel in ("oneshot", "greedy") for way in ways}
    assert chart.svg.count("fill-opacity: 0.18") == 30
    assert "bands: range" in chart.svg
    assert "98 %" in chart.svg
    assert chart.wide
    for ending in ("png", "svg"):
        chart.write(tmp_path / f"curves.{ending}")
    assert Image.open(tmp_path / "curves.png").size[0] > 1000
    assert ET.parse(tmp_path / "curves.svg").getroot().tag.endswith("svg")


def test_curves_of_one_direction_name_it_once() -> None:
    lines = {("lowest", "R"): {0: 0.9, 1: 0.8}, ("random", ""): {0: [0.9, 0.9], 1: [0.7, 0.5]}}
    chart = charts.curves("Top-1", {"": lines}, ["JSD", "R"])
    ends = dict(re.findall(r"<title>([^,<]*), 1 dropped: ([\d.]+)", chart.svg))
    assert ends == {"R": "80.00", "layers at random": "60.00"}
    assert "dropped layers, lowest first" in chart.svg
    assert not chart.wide


@pytest.mark.parametrize("draw", [relevance, curves])
def test_in_a_page_a_chart_has_the_pages_colours_and_nothing_that_others_share(draw) -> None:
    text = draw().svg
    assert text == draw().svg  # drawn again, it is the same bytes
    root = ET.fromstring(text)
    assert root.get("role") == "img"
    assert root.get("aria-label") == root[0].text
    assert not re.findall(r"#[0-9a-f]{6}\b(?!\))", re.sub(r'"#\w+"|url\(#\w+\)', "", text))
    assert {*re.findall(r"var\(--(\w+)\)", text)} <= {*COLOURS}
    assert "<style" not in text
    ids = re.findall(r' id="(.*?)"', text)
    assert len(ids) == len({*ids})
    other = charts.training("Fine-tuning", {"train loss": {1: 2.0, 2: 1.0}}).svg
    assert not {*ids} & {*re.findall(r' id="(.*?)"', other)}


def test_no_two_colours_are_the_same_and_each_has_one_for_the_dark() -> None:
    assert len({*COLOURS.values()}) == len(COLOURS)
    assert COLOURS.keys() == DARK.keys()


def test_text_of_a_chart_cannot_become_markup() -> None:
    chart = charts.training("<b>", {'loss</svg>"': {1: 2.0, 2: 1.0}})
    assert ET.fromstring(chart.svg)[0].text == "<b>"
    assert 'loss</svg>"' in {e.text for e in ET.fromstring(chart.svg).iter()}
    assert 'epoch 1: loss</svg>" 2' in {e.text for e in ET.fromstring(chart.svg).iter()}


@pytest.mark.parametrize(
    "units",
    [
        [str(i) for i in range(48)],
        [f"{i}.{j}" for i in range(16) for j in range(8)],
        [f"{i}.mlp.{j}" for i in range(24) for j in range(8)],
        [f"{i}{part}" for i in range(16) for part in ("", ".attention", ".mlp", ".0", ".mlp.0")],
    ],
    ids=["layers", "heads", "neurons", "any"],
)
def test_names_of_many_units_have_room(units: list[str], tmp_path: Path) -> None:
    mean = {"R": np.linspace(0, 1, len(units))}
    chart = charts.relevance("Relevance", units, mean, mean, {})
    assert chart.figure.get_figwidth() <= charts.WIDEST
    chart.write(tmp_path / "chart.png")  # lays it out
    labels = chart.figure.axes[-1].get_xticklabels()
    ends = [(box.x0, box.x1) for box in (label.get_window_extent() for label in labels)]
    assert len(labels) > 10
    assert all(one[1] < other[0] for one, other in pairwise(ends))
    if "0.attention" in units:
        assert [label.get_text() for label in labels] == [str(i) for i in range(16)]
