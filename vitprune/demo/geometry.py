"""Points, boxes and how they move: x to the right and y down, angles in degrees, clockwise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

Point = tuple[float, float]
Box = tuple[float, float, float, float]


def smooth(x: float) -> float:
    """0 up to x = 0, 1 from x = 1, a smooth step between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def held(u: float, rise: float = 0.25, fall: float = 0.75) -> float:
    """From 0 to 1 until ``rise``, back to 0 from ``fall`` to 1: an action's course."""
    return smooth(u / rise) * smooth((1 - u) / (1 - fall))


def mix(a: Point, b: Point, share: float) -> Point:
    """``a`` at share 0, ``b`` at share 1."""
    return (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]))


def along(t: float, *stops: tuple[float, Point]) -> Point:
    """Where something is at time t that moves smoothly from stop to stop (time, point)."""
    point = stops[0][1]
    for (begin, a), (end, b) in pairwise(stops):
        s = smooth((t - begin) / (end - begin))
        if s > 0:
            point = mix(a, b, s)
    return point


def shift(point: Point, dx: float = 0, dy: float = 0) -> Point:
    return (point[0] + dx, point[1] + dy)


def turned(at: Point, angle: float, points: Sequence[Point]) -> list[Point]:
    """``points`` around the origin, turned by ``angle`` degrees and moved to ``at``."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return [(at[0] + c * x - s * y, at[1] + s * x + c * y) for x, y in points]


def wave(cycles: float) -> float:
    """The sine of so many full cycles."""
    return math.sin(2 * math.pi * cycles)


def enclose(*boxes: Box) -> Box:
    """The smallest box around all of them."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


def clipped(boxes: dict[str, Box], size: tuple[int, int], scale: float = 1.0) -> dict[str, Box]:
    """Boxes times ``scale``, cut at the frame's border; what lies outside of it is left out."""
    inside: dict[str, Box] = {}
    for label, box in boxes.items():
        x0, y0, x1, y1 = (value * scale for value in box)
        cut = (max(x0, 0.0), max(y0, 0.0), min(x1, float(size[0])), min(y1, float(size[1])))
        if cut[2] - cut[0] >= 1 and cut[3] - cut[1] >= 1:
            inside[label] = cut
    return inside
