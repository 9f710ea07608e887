"""Charts as inline SVG that follow the page's colours: they carry classes, and no colours."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

Point = tuple[float, float]
MARKERS = ("circle", "square", "triangle", "diamond", "down", "cross")


@dataclass(frozen=True)
class Scale:
    """From values to pixels, linearly.

    Attributes:
        low, high: the range of values.
        start, end: where they lie in the picture; ``start > end`` for values that grow upwards.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return self.start + share * (self.end - self.start)


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round values that cover ``low`` to ``high``; multiples of 1, 2, 2.5 or 5."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(count - 1, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


@dataclass
class Drawing:
    """One chart: a picture of its own size that scales with the page.

    Attributes:
        width, height: in pixels at the size it is meant for.
        title: its name, for those who hear the page.
        description: what it shows, likewise.
        parts: its elements, back to front.
    """

    width: float
    height: float
    title: str
    description: str = ""
    parts: list[str] = field(default_factory=list)

    def line(self, points: Iterable[Point], kind: str) -> None:
        """A polyline through ``points``."""
        self.parts.append(f'<polyline class="line {kind}" points="{_path(points)}"/>')

    def area(self, points: Iterable[Point], kind: str) -> None:
        """A filled polygon."""
        self.parts.append(f'<polygon class="area {kind}" points="{_path(points)}"/>')

    def rectangle(
        self, x: float, y: float, width: float, height: float, kind: str, tip: str = ""
    ) -> None:
        """A rectangle from its upper left corner."""
        self.parts.append(
            f'<rect class="{kind}" x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" '
            f'height="{_n(height)}">{_tip(tip)}</rect>'
        )

    def marker(
        self, shape: str, x: float, y: float, kind: str, tip: str = "", size: float = 3.5
    ) -> None:
        """A point, told apart by its ``shape`` (one of :data:`MARKERS`) as well as its colour."""
        self.parts.append(_marker(shape, x, y, kind, tip, size))

    def text(self, x: float, y: float, content: str, kind: str, anchor: str = "start") -> None:
        """A label; ``anchor`` is ``start``, ``middle`` or ``end``."""
        self.parts.append(
            f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">'
            f"{escape(content)}</text>"
        )

    def x_axis(self, scale: Scale, y: float, ticks: Sequence[float], label: str) -> None:
        """Ticks and label below a line at height ``y``."""
        self.line([(scale.start, y), (scale.end, y)], "axis")
        for tick in ticks:
            self.text(scale(tick), y + 14, _number(tick), "tick", "middle")
        self.text((scale.start + scale.end) / 2, y + 30, label, "label", "middle")

    def y_axis(
        self, scale: Scale, left: float, right: float, ticks: Sequence[float], label: str
    ) -> None:
        """Ticks with grid lines from ``left`` to ``right``, and the label above the upper one."""
        for tick in ticks:
            height = scale(tick)
            self.line([(left, height), (right, height)], "grid")
            self.text(left - 6, height + 3.5, _number(tick), "tick", "end")
        self.text(0, min(scale.start, scale.end) - 9, label, "label")

    def render(self) -> str:
        """The ``<svg>`` element."""
        described = f"<desc>{escape(self.description)}</desc>" if self.description else ""
        return (
            f'<svg viewBox="0 0 {_n(self.width)} {_n(self.height)}" role="img" '
            f'aria-label="{escape(self.title)}"><title>{escape(self.title)}</title>{described}'
            f"{''.join(self.parts)}</svg>"
        )


def _marker(shape: str, x: float, y: float, kind: str, tip: str = "", size: float = 3.5) -> str:
    attributes = f'class="marker {kind}"'
    if shape == "circle":
        return f'<circle {attributes} cx="{_n(x)}" cy="{_n(y)}" r="{_n(size)}">{_tip(tip)}</circle>'
    if shape == "cross":
        arm = size * 0.9
        left, right, top, bottom = map(_n, (x - arm, x + arm, y - arm, y + arm))
        path = f"M{left},{top}L{right},{bottom}M{left},{bottom}L{right},{top}"
        return f'<path {attributes} d="{path}">{_tip(tip)}</path>'
    corners = {
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "triangle": [(0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
        "down": [(0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
        "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    }[shape]
    points = [(x + size * dx, y + size * dy) for dx, dy in corners]
    return f'<polygon {attributes} points="{_path(points)}">{_tip(tip)}</polygon>'


def _path(points: Iterable[Point]) -> str:
    return " ".join(f"{_n(x)},{_n(y)}" for x, y in points)


def _tip(text: str) -> str:
    return f"<title>{escape(text)}</title>" if text else ""


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _number(value: float) -> str:
    return f"{value:g}".replace("-", "−")
