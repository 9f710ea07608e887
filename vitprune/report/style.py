"""How charts look, and how a chart becomes a PNG and a part of a page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.figure import Figure

from vitprune.files import replacing

COLOURS = {
    "ink": "#1b1f24", "muted": "#59616b", "rule": "#dfe2e6", "grid": "#e9ebee", "card": "#ffffff",
    "kept": "#97a1ad", "random": "#7d7a70", "blue": "#2f6db0", "red": "#c2452d",
    "orange": "#b5542a", "green": "#2f7d4f", "purple": "#7a4fa3", "ochre": "#8a6d1f",
    "pink": "#a33d6b", "teal": "#1f7780",
}  # fmt: skip
"""Every colour of a chart on white. A page has a CSS variable of each name, so that it can be
:data:`DARK` there; no two are the same."""
DARK = {
    "ink": "#e7e9ec", "muted": "#a0a8b2", "rule": "#2f343b", "grid": "#272b31", "card": "#191c20",
    "kept": "#66707c", "random": "#aaa698", "blue": "#74aee8", "red": "#f08a72",
    "orange": "#ee9a6b", "green": "#74c596", "purple": "#bd98e2", "ochre": "#d3b45c",
    "pink": "#e58db2", "teal": "#62c3cc",
}  # fmt: skip
LOWEST, HIGHEST = COLOURS["blue"], COLOURS["red"]
DIRECTION = {"lowest": LOWEST, "highest": HIGHEST}
PALETTE = tuple(
    COLOURS[name] for name in ("blue", "orange", "green", "purple", "ochre", "pink", "teal")
)
MARKERS = "osD^vPX"
"""Models and metrics are told apart by marker as well as by colour."""
WIDTH = 3.3
"""Of a chart, in inches: a phone's width."""

RC: Mapping[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": COLOURS["muted"],
    "axes.labelcolor": COLOURS["muted"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.constrained_layout.use": True,
    "figure.dpi": 220,
    "figure.titlesize": 9,
    "font.size": 8,
    "grid.color": COLOURS["grid"],
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "legend.title_fontsize": 7.5,
    "legend.labelcolor": COLOURS["muted"],
    "lines.linewidth": 1.5,
    "lines.markersize": 4.5,
    "savefig.dpi": "figure",
    "svg.fonttype": "none",
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["muted"],
    "xtick.labelsize": 7.5,
    "ytick.color": COLOURS["muted"],
    "ytick.labelsize": 7.5,
}
styled = rc_context(dict(RC))
"""Decorates a function that draws."""


@styled
def write_png(figure: Figure, path: str | Path, title: str) -> None:
    """Write a figure with its title above it, whole or not at all."""
    figure.suptitle(title)
    with replacing(path) as temporary:
        figure.savefig(temporary)


@dataclass(frozen=True)
class Chart:
    """A chart that is drawn, to be written as PNG or to stand in a page.

    Attributes:
        title: what it is about.
        description: what it shows, for those who hear the page.
        figure: the drawing, of colours in :data:`COLOURS` alone and without a title. What a part
            says when it is pointed at is its gid, see :func:`tip`.
    """

    title: str
    description: str
    figure: Figure

    def write(self, path: str | Path, title: str = "") -> None:
        """Write it under its own or another title, as PNG or SVG by the path's ending."""
        write_png(self.figure, path, title or self.title)

    @property
    def wide(self) -> bool:
        """Whether it takes more than a column of a page."""
        return float(self.figure.get_figwidth()) > 1.5 * WIDTH

    @property
    @styled
    def svg(self) -> Markup:
        """An ``<svg>`` element in the page's colours and font; the same bytes every time."""
        out = StringIO()
        with rc_context({"svg.hashsalt": self.title + self.description}):
            self.figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
        head, text = out.getvalue().split("</metadata>")
        (box,) = re.findall(r'viewBox="[^"]*"', head)
        text = re.sub(r"<style.*?</style>", "", text)  # it would apply to the whole page
        text = re.sub(r"""<g id=(["'])tip:(.*?)\1>""", r"<g><title>\2</title>", text)
        text = re.sub(r'<g id="[^"]*">', "<g>", text)  # other charts have the same
        text = text.replace("xlink:href", "href")
        text = re.sub(r" font-family: [^;]*;", "", text)
        text = re.sub(r"(\d\.\d\d)\d{3,}", r"\1", text)
        for name, colour in COLOURS.items():
            text = text.replace(colour, f"var(--{name})")
        name, says = escape(self.title), escape(self.description)
        return Markup(
            f'<svg {box} role="img" aria-label="{name}"><title>{name}</title><desc>{says}</desc>'
            f"{text}"
        )


def tip(text: str) -> str:
    """The gid of an artist that says ``text`` when it is pointed at in a page."""
    return f"tip:{text}"
