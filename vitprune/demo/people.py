"""People: what a subject looks like, and how heads and limbs are drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vitprune.demo.canvas import Canvas
from vitprune.demo.colours import Colour, calm, hair, mark, shade, skin
from vitprune.demo.geometry import Box, Point, enclose, shift


@dataclass(frozen=True)
class Person:
    """A subject in the clothes of one take. Sizes are factors around 1."""

    skin: Colour
    hair: Colour
    broad: float
    head_width: float
    head_height: float
    fringe: float
    long_hair: bool
    beard: bool
    shirt: Colour
    arm: Colour
    sleeve: Colour
    trousers: Colour

    @classmethod
    def draw(cls, subject: np.random.Generator, take: np.random.Generator) -> Person:
        """Looks from ``subject``, clothes from ``take``."""
        tone = skin(subject)
        shirt = calm(take)
        arm = shade(shirt, float(take.choice([0.7, 1.3])))
        return cls(
            skin=tone,
            hair=hair(subject),
            broad=float(subject.uniform(0.88, 1.12)),
            head_width=float(subject.uniform(0.88, 1.1)),
            head_height=float(subject.uniform(0.92, 1.1)),
            fringe=float(subject.uniform(0.1, 0.45)),
            long_hair=bool(subject.random() < 0.4),
            beard=bool(subject.random() < 0.25),
            shirt=shirt,
            arm=arm,
            sleeve=tone if take.random() < 0.3 else shade(arm, float(take.uniform(0.9, 1.1))),
            trousers=calm(take),
        )


@dataclass(frozen=True)
class Face:
    """Where a head is turned, and what its face does.

    Args:
        yaw: from -1, in profile to the left of the picture, to 1, to the right.
        pitch: from -1, up, to 1, down.
        mouth: from 0, shut, to 1, wide open.
        shut: whether the eyes are.
    """

    yaw: float = 0.0
    pitch: float = 0.0
    mouth: float = 0.0
    shut: bool = False


def draw_head(
    canvas: Canvas, at: Point, radius: float, person: Person, face: Face | None = None
) -> Box:
    """A head as a ball: what is in front moves with its turning, hair comes after it.

    Args:
        canvas: drawn on.
        at: the head's centre.
        radius: half of its width.
        person: whose it is.
        face: how it is turned; straight ahead by default.
    """
    face = face or Face()
    rx, ry = radius * person.head_width, 1.24 * radius * person.head_height
    crown = canvas.disc(shift(at, 0, -0.08 * ry), 1.06 * rx, 1.06 * ry, person.hair)
    if person.long_hair:
        canvas.slab(shift(at, 0, 0.5 * ry), 2.1 * rx, 1.1 * ry, person.hair)
    chin = canvas.disc(shift(at, 0, 0.1 * ry), 0.97 * rx, 0.9 * ry, person.hair)
    turn, nod = math.radians(66 * face.yaw), math.radians(50 * face.pitch)
    side, down = math.sin(turn), math.sin(nod)
    middle = shift(at, 0.5 * rx * side, (0.12 + 0.34 * down + 0.3 * person.fringe) * ry)
    wide = rx * (0.9 - 0.28 * abs(side))
    high = ry * (0.86 - 0.22 * abs(down) - 0.25 * person.fringe)
    canvas.disc(middle, wide, high, person.skin)
    nose = shift(middle, 0.72 * wide * side, 0.1 * high + 0.35 * high * down)
    if person.beard:
        canvas.disc(
            shift(middle, 0.2 * wide * side, 0.62 * high), 0.75 * wide, 0.4 * high, person.hair
        )
    for eye in (-0.42, 0.42):
        angle = math.asin(eye) + turn
        if math.cos(angle) > 0.1:
            spot = (at[0] + 0.92 * rx * math.sin(angle), middle[1] + (0.42 * down - 0.14) * high)
            size = 0.19 * rx
            wide_open = size * max(0.5, math.cos(angle))
            if face.shut:
                canvas.disc(spot, wide_open, 0.3 * size, mark(person.skin, 70))
            else:
                canvas.disc(spot, 0.9 * wide_open, size, mark(person.skin, 150))
    canvas.disc(nose, 0.17 * rx, 0.2 * ry, mark(person.skin, 45))
    lips = shift(middle, 0.45 * wide * side, (0.56 + 0.2 * down) * high)
    open_to = (0.06 + 0.34 * face.mouth) * high
    canvas.disc(lips, (0.3 - 0.06 * face.mouth) * wide, open_to, mark(person.skin, 140))
    return enclose(crown, chin)


def draw_arm(
    canvas: Canvas, shoulder: Point, hand: Point, width: float, person: Person, bend: float
) -> Box:
    """From the shoulder over an elbow ``bend`` pixels outwards and lower; the box is the hand's."""
    elbow = ((shoulder[0] + hand[0]) / 2 + bend, (shoulder[1] + hand[1]) / 2 + abs(bend) * 0.7)
    canvas.limb([shoulder, elbow], width, person.arm)
    canvas.limb([elbow, hand], 0.85 * width, person.sleeve)
    return canvas.disc(hand, 0.78 * width, 0.78 * width, person.skin)
