"""Drawing, as a camera sees it. A scene is 320 x 240 pixels wide where the camera stands still."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from vitprune.demo.camera import View
from vitprune.demo.colours import Colour
from vitprune.demo.geometry import Box, Point, turned

CANVAS = (320, 240)
CENTRE: Point = (160.0, 120.0)


class Canvas:
    """A picture to draw one frame on. Takes points of the scene; gives boxes in the picture."""

    def __init__(self, view: View, backdrop: Colour = (0, 0, 0)) -> None:
        self.view = view
        self.image = Image.new("RGB", CANVAS, backdrop)
        self.draw = ImageDraw.Draw(self.image)

    def _round(self, at: Point, rx: float, ry: float) -> Box:
        x, y = self.view.at(at)
        zoom = self.view.zoom
        return (x - zoom * rx, y - zoom * ry, x + zoom * rx, y + zoom * ry)

    def disc(self, at: Point, rx: float, ry: float, colour: Colour) -> Box:
        box = self._round(at, rx, ry)
        self.draw.ellipse(box, fill=colour)
        return box

    def ring(self, at: Point, rx: float, ry: float, colour: Colour, width: float) -> Box:
        box = self._round(at, rx, ry)
        self.draw.ellipse(box, outline=colour, width=self._width(width))
        return box

    def shape(self, points: Sequence[Point], colour: Colour) -> Box:
        seen = [self.view.at(point) for point in points]
        self.draw.polygon(seen, fill=colour)
        xs, ys = zip(*seen, strict=True)
        return (min(xs), min(ys), max(xs), max(ys))

    def slab(self, at: Point, width: float, height: float, colour: Colour, angle: float = 0) -> Box:
        x, y = width / 2, height / 2
        return self.shape(turned(at, angle, [(-x, -y), (x, -y), (x, y), (-x, y)]), colour)

    def limb(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A thick line with round joints and ends."""
        seen = [self.view.at(point) for point in points]
        self.draw.line(seen, fill=colour, width=self._width(width), joint="curve")
        for point in points:
            self.disc(point, width / 2 - 0.5, width / 2 - 0.5, colour)

    def _width(self, width: float) -> int:
        return max(1, round(width * self.view.zoom))
