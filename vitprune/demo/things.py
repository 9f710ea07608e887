"""The objects of both stand-ins, told apart by their shapes. Each comes in every colour."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vitprune.demo.canvas import Canvas
from vitprune.demo.colours import Colour, mark
from vitprune.demo.geometry import Box, Point, enclose, turned


@dataclass(frozen=True)
class Thing:
    """An object in a scene.

    Args:
        kind: a key of :data:`SHAPES`.
        at: its centre, which is covered by its colour (but for hoops and ropes, which are hollow).
        colour: its colour.
        angle: in degrees, clockwise on the screen; 0 is upright.
        size: 1 is the size that it has in a scene.
    """

    kind: str
    at: Point
    colour: Colour
    angle: float = 0.0
    size: float = 1.0


def draw_thing(canvas: Canvas, thing: Thing) -> Box:
    """Draws it and says where it is in the picture."""
    return SHAPES[thing.kind](canvas, thing)


def _phone(canvas: Canvas, it: Thing) -> Box:
    box = canvas.slab(it.at, 26 * it.size, 46 * it.size, it.colour, it.angle)
    top, bottom = turned(it.at, it.angle, [(0, -18 * it.size), (0, 18 * it.size)])
    for at in (top, bottom):
        canvas.slab(at, 14 * it.size, 3 * it.size, mark(it.colour, 110), it.angle)
    return box


def _bottle(canvas: Canvas, it: Thing) -> Box:
    neck, cap = turned(it.at, it.angle, [(0, -28 * it.size), (0, -38 * it.size)])
    return enclose(
        canvas.slab(neck, 10 * it.size, 22 * it.size, it.colour, it.angle),
        canvas.slab(cap, 14 * it.size, 8 * it.size, mark(it.colour, 110), it.angle),
        canvas.slab(it.at, 26 * it.size, 44 * it.size, it.colour, it.angle),
    )


def _bag(canvas: Canvas, it: Thing) -> Box:
    grip = turned(it.at, it.angle, [(0, -22 * it.size)])[0]
    return enclose(
        canvas.ring(grip, 13 * it.size, 13 * it.size, it.colour, 5 * it.size),
        canvas.slab(it.at, 50 * it.size, 40 * it.size, it.colour, it.angle),
    )


def _parcel(canvas: Canvas, it: Thing) -> Box:
    box = canvas.slab(it.at, 42 * it.size, 38 * it.size, it.colour, it.angle)
    tape = turned(it.at, it.angle, [(0, -11 * it.size)])[0]
    canvas.slab(tape, 42 * it.size, 5 * it.size, mark(it.colour, 110), it.angle)
    return box


def _ball(canvas: Canvas, it: Thing) -> Box:
    return canvas.disc(it.at, 15 * it.size, 15 * it.size, it.colour)


def _bat(canvas: Canvas, it: Thing) -> Box:
    grip = turned(it.at, it.angle, [(0, -44 * it.size)])[0]
    return enclose(
        canvas.slab(grip, 7 * it.size, 28 * it.size, it.colour, it.angle),
        canvas.slab(it.at, 17 * it.size, 62 * it.size, it.colour, it.angle),
    )


def _hoop(canvas: Canvas, it: Thing) -> Box:
    return canvas.ring(it.at, 72 * it.size, 22 * it.size, it.colour, 9 * it.size)


def _barbell(canvas: Canvas, it: Thing) -> Box:
    bar = canvas.slab(it.at, 190 * it.size, 7 * it.size, it.colour, it.angle)
    ends = turned(it.at, it.angle, [(-80 * it.size, 0), (80 * it.size, 0)])
    plates = [canvas.slab(at, 18 * it.size, 62 * it.size, it.colour, it.angle) for at in ends]
    return enclose(bar, *plates)


def _sack(canvas: Canvas, it: Thing) -> Box:
    """A punching bag on its rope, hanging from the top."""
    rope = turned(it.at, it.angle, [(0, -95 * it.size)])[0]
    canvas.slab(rope, 5 * it.size, 90 * it.size, it.colour, it.angle)
    return canvas.slab(it.at, 44 * it.size, 104 * it.size, it.colour, it.angle)


def _strings(canvas: Canvas, it: Thing, size: float) -> Box:
    upper, lower = turned(it.at, it.angle, [(0, -16 * size), (0, 16 * size)])
    neck, scroll = turned(it.at, it.angle, [(0, -44 * size), (0, -66 * size)])
    canvas.limb([it.at, neck, scroll], 8 * size, it.colour)
    body = enclose(
        canvas.disc(upper, 17 * size, 17 * size, it.colour),
        canvas.disc(lower, 22 * size, 22 * size, it.colour),
    )
    canvas.disc(lower, 6 * size, 6 * size, mark(it.colour, 110))
    return enclose(body, canvas.disc(scroll, 5 * size, 5 * size, it.colour))


def _violin(canvas: Canvas, it: Thing) -> Box:
    return _strings(canvas, it, 0.95 * it.size)


def _guitar(canvas: Canvas, it: Thing) -> Box:
    return _strings(canvas, it, 1.3 * it.size)


def _bow(canvas: Canvas, it: Thing) -> Box:
    return canvas.slab(it.at, 6 * it.size, 96 * it.size, it.colour, it.angle)


SHAPES: dict[str, Callable[[Canvas, Thing], Box]] = {
    "phone": _phone,
    "bottle": _bottle,
    "bag": _bag,
    "parcel": _parcel,
    "ball": _ball,
    "bat": _bat,
    "hoop": _hoop,
    "barbell": _barbell,
    "sack": _sack,
    "violin": _violin,
    "guitar": _guitar,
    "bow": _bow,
}
