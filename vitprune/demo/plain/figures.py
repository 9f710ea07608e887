"""Drawing: points, limbs, heads and things, and the boxes that they fill.

The stand-ins are drawn on a canvas of 320 x 240 pixels, x to the right and y down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

CANVAS = (320, 240)
SKINS = ((250, 214, 185), (228, 180, 140), (190, 134, 96), (130, 86, 60), (96, 62, 44))
HAIRS = ((36, 26, 22), (92, 58, 34), (190, 150, 80), (150, 150, 150), (60, 40, 60))

Point = tuple[float, float]
Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Thing:
    """An object in the scene: what it looks like and where it is.

    ``angle`` is in degrees, clockwise on the screen; 0 is upright.
    """

    kind: str
    at: Point
    angle: float = 0.0


@dataclass(frozen=True)
class Picture:
    """One frame and what can be seen in it: label -> box (x0, y0, x1, y1) in its pixels."""

    image: Image.Image
    boxes: dict[str, Box]


def smooth(x: float) -> float:
    """0 up to x = 0, 1 from x = 1, a smooth step between."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3 - 2 * x)


def along(t: float, *stops: tuple[float, Point]) -> Point:
    """Where something is at time t that moves smoothly from stop to stop (time, point)."""
    point = stops[0][1]
    for (begin, a), (end, b) in pairwise(stops):
        s = smooth((t - begin) / (end - begin))
        if s > 0:
            point = (a[0] + s * (b[0] - a[0]), a[1] + s * (b[1] - a[1]))
    return point


def shift(point: Point, dx: float = 0, dy: float = 0) -> Point:
    return (point[0] + dx, point[1] + dy)


def turned(at: Point, angle: float, points: Sequence[Point]) -> list[Point]:
    """``points`` around the origin, turned by ``angle`` degrees and moved to ``at``."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return [(at[0] + c * x - s * y, at[1] + s * x + c * y) for x, y in points]


def pick(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    return colours[int(rng.integers(len(colours)))]


class Canvas:
    """A copy of a background to draw a frame on, under a light (1 is neutral)."""

    def __init__(self, background: Image.Image, light: float = 1.0) -> None:
        self.image = background.copy()
        self.draw = ImageDraw.Draw(self.image)
        self.light = light

    def lit(self, colour: Colour) -> Colour:
        r, g, b = (min(255, round(channel * self.light)) for channel in colour)
        return (r, g, b)

    def disc(self, at: Point, rx: float, ry: float, colour: Colour) -> Box:
        box = (at[0] - rx, at[1] - ry, at[0] + rx, at[1] + ry)
        self.draw.ellipse(box, fill=self.lit(colour))
        return box

    def ring(self, at: Point, rx: float, ry: float, colour: Colour, width: int) -> Box:
        box = (at[0] - rx, at[1] - ry, at[0] + rx, at[1] + ry)
        self.draw.ellipse(box, outline=self.lit(colour), width=width)
        return box

    def shape(self, points: Sequence[Point], colour: Colour) -> Box:
        self.draw.polygon(list(points), fill=self.lit(colour))
        xs, ys = zip(*points, strict=True)
        return (min(xs), min(ys), max(xs), max(ys))

    def slab(self, at: Point, width: float, height: float, colour: Colour, angle: float = 0) -> Box:
        x, y = width / 2, height / 2
        return self.shape(turned(at, angle, [(-x, -y), (x, -y), (x, y), (-x, y)]), colour)

    def limb(self, points: Sequence[Point], width: int, colour: Colour) -> None:
        self.draw.line(list(points), fill=self.lit(colour), width=width, joint="curve")
        for point in points:
            self.disc(point, width / 2 - 1, width / 2 - 1, colour)

    def arm(self, shoulder: Point, hand: Point, width: int, colour: Colour, bend: float) -> None:
        """From the shoulder over an elbow that lies ``bend`` pixels outwards and low."""
        elbow = ((shoulder[0] + hand[0]) / 2 + bend, (shoulder[1] + hand[1]) / 2 + abs(bend) * 0.7)
        self.limb([shoulder, elbow, hand], width, colour)

    def head(self, at: Point, rx: float, ry: float, skin: Colour, hair: Colour) -> Box:
        self.disc(shift(at, 0, -0.18 * ry), rx * 1.06, ry * 0.98, hair)
        box = self.disc(at, rx * 0.92, ry, skin)
        for side in (-1, 1):
            self.disc(shift(at, side * 0.38 * rx, -0.1 * ry), 0.12 * rx, 0.1 * ry, (30, 30, 40))
        self.disc(shift(at, 0, 0.5 * ry), 0.3 * rx, 0.08 * ry, (150, 60, 60))
        return (at[0] - rx * 1.06, at[1] - 1.16 * ry, at[0] + rx * 1.06, box[3])


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
