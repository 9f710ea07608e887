"""The explorer, clicked through as a reader would."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vitprune.report.explorer import Strip, small_frames, small_map, write_explorer
from vitprune.results.statistics import Intervals

CLASSES = ["drink", "</script><b>phone", "reach"]
NAMES = ["0.0", "1.time.0", "1.time.1", "1.0", "1.1"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 40, 40, 3)).astype(np.uint8)
    strips = []
    for label in range(2):
        maps = []
        for head in range(5):  # head h looks at column h of 8, more to the left in class 1
            found = np.zeros((6, 40, 40))
            found[:, :, 5 * (head - label) : 5 * (head - label) + 5] = 8.0
            maps.append(small_map(found))
        levels, highest = zip(*maps, strict=True)
        strips.append(
            Strip(f"v{label}.mp4", label, small_frames(frames), np.stack(levels), np.array(highest))
        )
    relevance = rng.normal(0, 0.01, (4, 5))
    relevance[0] = [0.1, 0.2, 0.9, np.nan, 0.3]
    relevance[2] = [0.5, 0.1, 0.2, 0.0, -0.1]
    lift = np.array([1.0, 2.0, 3.0, 4.0, np.nan])
    path = tmp_path_factory.mktemp("explorer") / "explorer.html"
    write_explorer(
        path,
        title="toy on made-up clips",
        note="12 clips",
        rows=["0", "1 time", "1"],
        places=[(0, 0), (1, 0), (1, 1), (2, 0), (2, 1)],
        names=NAMES,
        classes=CLASSES,
        relevance={"R": relevance, "JSD": relevance[::-1]},
        metric="R",
        figures={
            "consistency": np.linspace(0, 1, 5), "selectivity": np.linspace(1, 0, 5),
            "p": np.full(5, 0.02), "preferred": np.array([0, 1, 0, 2, 1]),
        },
        top=2,
        boxes={"head": {"lift": Intervals(lift, lift - 0.5, lift + 0.5),
                        "hit": Intervals(lift / 4, lift / 8, lift / 4), "share": 0.1,
                        "elsewhere": lift - 0.25}},
        strips=strips,
    )  # fmt: skip
    return path


def test_clicking_through(page: Path, open_page: Callable[..., Any]) -> None:
    opened = open_page(page)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    assert opened.title() == "toy on made-up clips"
    assert opened.locator("#map button").count() == 5
    assert opened.inner_text("#head") == "Head 1.time.1"  # the most relevant one
    opened.click('[data-head="1.time.0"]')
    assert opened.inner_text("#head") == "Head 1.time.0"
    assert opened.locator('[aria-pressed="true"]').get_attribute("data-head") == "1.time.0"
    assert "25 % of the clips" in opened.inner_text("#summary")
    assert "Matters most for </script><b>phone" in opened.inner_text("#summary")
    assert "2.00 (1.50 to 2.50)" in opened.inner_text("#boxes tbody")
    assert "1.75" in opened.inner_text("#boxes tbody")
    assert opened.locator("#classes tr").count() == 3
    opened.select_option("#class", label="drink")
    opened.wait_for_function("document.querySelector('#strip').dataset.label === 'drink'")
    assert opened.locator("tr.chosen").inner_text().startswith("drink")
    assert "R, mean over the clips of drink" in opened.inner_text("#meaning")
    opened.select_option("#metric", label="lift: head")
    assert "head 1.0, lift: head 4.000" in opened.locator('[data-head="1.0"]').get_attribute(
        "aria-label"
    )
    opened.select_option("#metric", label="consistency")
    assert "among the top 2" in opened.inner_text("#meaning")
    opened.focus('[data-head="1.time.0"]')
    opened.keyboard.press("ArrowDown")
    assert opened.inner_text("#head") == "Head 1.0"
    assert opened.url.endswith("#1.0/drink/consistency")
    assert opened.requests == []
    assert errors == []


def test_the_strip_shows_where_the_head_looks(page: Path, open_page: Callable[..., Any]) -> None:
    opened = open_page(page)
    opened.select_option("#class", label="drink")
    for head, column in (("0.0", 0), ("1.1", 4)):
        opened.click(f'[data-head="{head}"]')
        opened.wait_for_function(f"document.querySelector('#strip').dataset.head === '{head}'")
        yellow = opened.evaluate(
            """() => {
                const canvas = document.querySelector('#strip'), side = canvas.width / 4;
                const pixels = canvas.getContext('2d').getImageData(0, side + 12, side, 40).data;
                const sums = Array(8).fill(0);
                for (let p = 0; p < pixels.length; p += 4)
                    sums[Math.floor((p / 4 % side) / side * 8)] += pixels[p] - pixels[p + 2];
                return sums.indexOf(Math.max(...sums));
            }"""
        )
        assert yellow == column
    assert "from 0 (dark blue) to 8.0 times" in opened.inner_text("#caption")


def test_a_link_opens_at_a_head(page: Path, open_page: Callable[..., Any]) -> None:
    opened = open_page(page)
    opened.goto(page.resolve().as_uri() + "#1.1/reach/JSD")
    opened.reload()
    assert opened.inner_text("#head") == "Head 1.1"
    assert opened.locator("#metric").input_value() == "JSD"
    assert "No clip of the chosen class" in opened.inner_text("#caption")


@pytest.mark.parametrize("dark", [False, True])
def test_dark_light_and_phone(page: Path, open_page: Callable[..., Any], dark: bool) -> None:
    opened = open_page(page, width=360, height=740, dark=dark)
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360
    back = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(22, 25, 29)" if dark else "rgb(255, 255, 255)")
    map_, head = (opened.locator(s).bounding_box() for s in ("#map", "#head"))
    assert head["y"] > map_["y"] + map_["height"]
