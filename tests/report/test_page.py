"""The page, opened in a browser as a reader would."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_cells import write_cell, write_grid, write_started

from vitprune.report.__main__ import main
from vitprune.report.sections import over_k, relevance
from vitprune.report.writing import write_report
from vitprune.results.reading import read_sweep

OpenPage = Callable[..., Any]
SECTIONS = ("table", "metrics", "curves", "relevance", "cost", "training", "run")
OVERFLOWING = """() => [...document.querySelectorAll("body *")].filter(e =>
    !e.closest(".scroll, .heard, .skip") && e.getBoundingClientRect().right > innerWidth + 1)
    .map(e => e.outerHTML.slice(0, 80))"""
CONTRAST = """() => {
    const luminance = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b };
    const ground = e => { for (; e; e = e.parentElement) {
        const c = getComputedStyle(e).backgroundColor;
        if (!c.endsWith(", 0)")) return c } return "rgb(255, 255, 255)" };
    return Math.min(...[...document.querySelectorAll("h1, p, td, th, dd, dt, a, li, text, summary")]
        .filter(e => e.textContent.trim()).map(e => {
            const style = getComputedStyle(e), ink = e.tagName == "text" ? style.fill : style.color;
            const [a, b] = [luminance(ink), luminance(ground(e))].sort();
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) })) }"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep, which tests only look at."""
    return write_report(write_grid(tmp_path_factory.mktemp("grid")))


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits_is_readable_and_asks_for_nothing(
    width: int, dark: bool, report: Path, open_page: OpenPage
) -> None:
    page = open_page(report, width=width, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.evaluate(OVERFLOWING) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(CONTRAST) >= 4.5
    dark_page = "rgb(18, 20, 23)"
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == dark_page) == dark
    assert page.requests == []
    assert [s for s in SECTIONS if page.query_selector(f"h2#{s}") is None] == []


def test_it_prints_on_white_without_loss(report: Path, open_page: OpenPage) -> None:
    page = open_page(report, width=700, dark=True)
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 700
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    clipped = """[...document.querySelectorAll(".scroll")].filter(e => e.offsetParent)
        .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.ariaLabel)"""
    assert page.evaluate(clipped) == []


def test_every_chart_is_named_labelled_and_drawn(report: Path, open_page: OpenPage) -> None:
    page = open_page(report)
    charts = page.query_selector_all("figure svg")
    assert (
        len(charts) == 6 + 4 + 6 + 4
    )  # curves by direction, relevance, cost (2 datasets x 3), fine-tuning
    for chart in charts:
        assert chart.get_attribute("role") == "img"
        assert chart.get_attribute("aria-label")
        assert chart.query_selector("desc") is not None
        box = chart.bounding_box()
        for part in chart.query_selector_all("text, use, :not(defs) > path"):
            inner = part.bounding_box()
            if inner and inner["width"]:
                assert box["x"] - 2 <= inner["x"]
                assert inner["x"] + inner["width"] <= box["x"] + box["width"] + 2
    labels = {text.text_content() for text in page.query_selector_all("svg text")}
    axes = {"layer", "Top-1 (%)", "JSD (bits)", "FLOPs per clip (G)", "latency per clip (ms)"}
    assert axes <= labels


def test_dropped_layers_are_marked_in_every_strip(tmp_path: Path) -> None:
    cell = write_cell(tmp_path, dropped=[2, 5, 7, 11, 13])
    text = write_report(cell).read_text()
    chart = next(s for s in re.findall(r"<svg.*?</svg>", text, re.S) if "Relevance of" in s)
    ET.fromstring(chart)
    marked = re.findall(r"<title>lowest, layer (\d+):", chart)
    assert marked == ["2", "5", "7", "11", "13"]
    assert "R: dropped with lowest: 2, 5, 7, 11, 13." in chart


def test_a_single_run_has_its_own_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cell = write_cell(tmp_path, metric="JSD", right=0.75)
    main([str(cell)])
    assert capsys.readouterr().out == f"Report: {cell / 'report.html'}\n"
    text = (cell / "report.html").read_text()
    assert "MViT on DAI: 5 layers with the lowest JSD dropped" in text
    assert "75.00 %" in text
    assert "python prune.py model=mvit metric=JSD" in text


def test_what_was_run_is_said(report: Path) -> None:
    text = report.read_text()
    assert "python prune.py -m model=mvit,timesformer metric=JSD,dProb,R" in text
    for fact in (
        "abc",
        "torch 2.6",
        "Linux, 2 CPUs, computing on cpu",
        "30 clips of the val split",
    ):
        assert fact in text
    assert "RuntimeError: no luck" in text


def test_text_from_results_cannot_become_markup(tmp_path: Path) -> None:
    cell = write_cell(tmp_path, dataset="<script>alert(1)</script>")
    text = write_report(cell).read_text()
    assert "<script" not in text


def test_old_cells_with_fewer_files_still_make_a_page(tmp_path: Path) -> None:
    cell = write_cell(tmp_path)
    for name in ("predictions.csv", "scores.csv"):
        (cell / name).unlink()
    text = write_report(cell).read_text()
    assert "90.00" in text
    assert 'id="relevance"' not in text


def test_cells_of_several_k_make_a_curve(tmp_path: Path) -> None:
    for k, right in ((2, 0.9), (4, 0.5)):
        write_cell(tmp_path, k=k, right=right)
    (chart,) = over_k(read_sweep(tmp_path)).values()
    assert re.findall(r"R, (\d) dropped: ([\d.]+) %", chart.svg) == [
        ("0", "97.50"), ("2", "90.00"), ("4", "50.00"),
    ]  # fmt: skip


def test_seeds_have_charts_of_their_own(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_cell(tmp_path, seed=seed, where=f"seed{seed}")
    assert [*relevance(read_sweep(tmp_path))] == ["MViT, DAI, seed=0", "MViT, DAI, seed=1"]


def test_a_sweep_in_which_all_failed_still_says_so(tmp_path: Path) -> None:
    write_started(tmp_path / "a", "dai", "mvit", "R", "lowest", 5)
    (tmp_path / "a" / "failure.json").write_text('{"error": "no luck", "overrides": []}')
    text = write_report(tmp_path).read_text()
    assert "| failed |" in (tmp_path / "table.md").read_text()
    assert "no luck" in text
    assert "0 of 1" in text


def test_a_model_is_called_what_its_results_say(tmp_path: Path) -> None:
    cell = write_cell(tmp_path)
    results = json.loads((cell / "results.json").read_text())
    results["model"]["title"] = "Ours v3"
    (cell / "results.json").write_text(json.dumps(results))
    assert read_sweep(tmp_path).cells["group"].iloc[0].label == "Ours v3 (5 layers pruned)"
    page = write_report(tmp_path).read_text()
    assert "Ours v3, DAI" in page
    assert "MViT" not in page
