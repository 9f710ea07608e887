"""The stand-in of DAI: a driver, seen from the dashboard, in what differs by object and motion.

The camera faces the driver, so the driver's right hand is on the left of the picture.
``pick_up`` and ``put_down`` are the same scene, played forwards and backwards;
``phone_right`` and ``phone_left`` mirror each other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageDraw

from vitprune.demo.plain.figures import (
    CANVAS,
    HAIRS,
    SKINS,
    Box,
    Canvas,
    Colour,
    Picture,
    Point,
    Thing,
    along,
    clipped,
    enclose,
    pick,
    shift,
    smooth,
    turned,
)

SIZE = (160, 120)
WHEEL: Point = (160, 208)
RIGHT_GRIP: Point = (106, 190)
LEFT_GRIP: Point = (214, 190)
SEAT: Point = (76, 204)
COLOURS: dict[str, Colour] = {
    "bottle": (30, 90, 240),
    "phone": (40, 220, 70),
    "cigarette": (250, 250, 250),
    "bag": (220, 30, 40),
    "parcel": (250, 205, 20),
}
SHIRTS: tuple[Colour, ...] = (
    (70, 80, 110),
    (110, 110, 118),
    (60, 66, 64),
    (140, 126, 112),
    (92, 70, 92),
)


@dataclass(frozen=True)
class Pose:
    """The driver at one moment. ``lean`` moves head and shoulders, in pixels."""

    right: Point = RIGHT_GRIP
    left: Point = LEFT_GRIP
    thing: Thing | None = None
    lean: Point = (0.0, 0.0)
    smoke: float = 0.0


def drive_normally(t: float) -> Pose:
    angle = 12 * math.sin(2 * math.pi * t)
    arms = [(x - WHEEL[0], y - WHEEL[1]) for x, y in (RIGHT_GRIP, LEFT_GRIP)]
    right, left = turned(WHEEL, angle, arms)
    return Pose(right, left)


def drink(t: float) -> Pose:
    hand = along(t, (0, (104, 172)), (0.3, (132, 122)), (0.75, (132, 122)), (1, (104, 172)))
    raised = (172 - hand[1]) / 50
    return Pose(hand, thing=Thing("bottle", shift(hand, 4, -16), 50 * raised))


def phone_right(t: float) -> Pose:
    hand = along(t, (0, (106, 160)), (0.25, (116, 96)))
    return Pose(hand, thing=Thing("phone", shift(hand, 2, -10), 8), lean=(-4, 2))


def phone_left(t: float) -> Pose:
    hand = along(t, (0, (214, 160)), (0.25, (204, 96)))
    return Pose(left=hand, thing=Thing("phone", shift(hand, -2, -10), -8), lean=(4, 2))


def text(t: float) -> Pose:
    hand = shift((150, 184), 3 * math.sin(6 * math.pi * t), 2 * math.cos(8 * math.pi * t))
    return Pose(hand, thing=Thing("phone", shift(hand, 8, -14), 10), lean=(0, 12))


def smoke(t: float) -> Pose:
    mouth: Point = (136, 116)
    away: Point = (92, 150)
    hand = along(t, (0, away), (0.2, mouth), (0.45, mouth), (0.65, away), (1, away))
    return Pose(hand, thing=Thing("cigarette", shift(hand, 6, -14), -68), smoke=smooth(t / 0.4))


def reach(t: float) -> Pose:
    hand = along(t, (0, RIGHT_GRIP), (0.4, (70, 150)), (0.85, (70, 150)), (1, (84, 165)))
    lean = 20 * smooth(t / 0.4)
    return Pose(hand, thing=Thing("bag", (62, 166)), lean=(-lean, lean / 3))


def pick_up(t: float) -> Pose:
    grip, high = shift(SEAT, 8, -14), shift((84, 84), 8, -14)
    hand = along(t, (0, RIGHT_GRIP), (0.2, grip), (0.3, grip), (0.8, high))
    place = along(t, (0.3, SEAT), (0.8, (84, 84)))
    return Pose(hand, thing=Thing("parcel", place), lean=(-6, 2))


def put_down(t: float) -> Pose:
    return pick_up(1 - t)


ACTIONS: dict[str, Callable[[float], Pose]] = {
    "drive_normally": drive_normally,
    "drink": drink,
    "phone_right": phone_right,
    "phone_left": phone_left,
    "text": text,
    "smoke": smoke,
    "reach": reach,
    "pick_up": pick_up,
    "put_down": put_down,
}
"""The classes, in the order of classes.txt."""


class CarScene:
    """One video: a subject (looks, car, light) doing an action, in one of many takes.

    Args:
        action: a key of :data:`ACTIONS`.
        subject: what the subject and the car look like is drawn from this generator,
        take: and position, timing and light from this one.
    """

    size = SIZE

    def __init__(
        self, action: str, subject: np.random.Generator, take: np.random.Generator
    ) -> None:
        self.pose = ACTIONS[action]
        self.skin = pick(subject, SKINS)
        self.hair = pick(subject, HAIRS)
        self.shirt = pick(subject, SHIRTS)
        self.interior: Colour = pick(subject, ((58, 58, 64), (84, 74, 64), (44, 50, 60)))
        self.sky: Colour = pick(subject, ((150, 190, 220), (190, 200, 206), (120, 140, 170)))
        self.broad = subject.uniform(0.92, 1.08)
        self.light = take.uniform(0.85, 1.12)
        self.origin: Point = (float(take.uniform(-7, 7)), float(take.uniform(-6, 6)))
        self.begin = take.uniform(-0.06, 0.06)
        self.speed = take.uniform(0.92, 1.08)
        self.sway = take.uniform(0, 2 * math.pi)
        self.trees = [float(x) for x in take.uniform(0, CANVAS[0], 4)]
        self.background = self._background()

    def _background(self) -> Image.Image:
        image = Image.new("RGB", CANVAS)
        canvas = Canvas(image, self.light)
        canvas.image = image
        canvas.draw = ImageDraw.Draw(image)
        canvas.slab((160, 120), 320, 240, self.interior)
        canvas.slab((62, 64), 100, 92, self.sky)
        canvas.slab((258, 64), 100, 92, self.sky)
        return image

    def frame(self, t: float) -> Picture:
        """The picture at time ``t`` in [0, 1] of the video, :data:`SIZE` pixels."""
        canvas = Canvas(self.background, self.light)
        for x in self.trees:
            x = (x + 90 * t) % 320
            if 24 < x < 100 or 220 < x < 296:
                canvas.disc((x, 82), 11, 26, (80, 130, 80))
        pose = self.pose(min(max(self.begin + self.speed * t, 0.0), 1.0))
        boxes = self._driver(canvas, self._placed(pose))
        image = canvas.image.reduce(CANVAS[0] // SIZE[0])
        return Picture(image, clipped(boxes, SIZE, SIZE[0] / CANVAS[0]))

    def _placed(self, pose: Pose) -> Pose:
        dx, dy = self.origin
        thing = pose.thing and replace(pose.thing, at=shift(pose.thing.at, dx, dy))
        return replace(
            pose, right=shift(pose.right, dx, dy), left=shift(pose.left, dx, dy), thing=thing
        )

    def _driver(self, canvas: Canvas, pose: Pose) -> dict[str, Box]:
        dx, dy = self.origin
        nod = 2 * math.sin(self.sway + 5 * pose.right[1] / 60)
        top = (160 + dx + pose.lean[0], 78 + dy + pose.lean[1] + nod)
        centre = 160 + dx + 0.6 * pose.lean[0]
        wide = 56 * self.broad
        right, left = (centre - wide, 148 + dy), (centre + wide, 148 + dy)
        canvas.slab((160 + dx, 96 + dy), 78, 150, (40, 40, 46))  # the head-rest and seat
        canvas.slab((160 + dx, 190 + dy), 170, 120, (40, 40, 46))
        canvas.limb([(top[0], top[1] + 20), (centre, 136 + dy)], 26, self.skin)
        body = [shift(right, -8, 100), shift(right, 0, -10), shift(right, 26, -20)]
        body += [shift(left, -26, -20), shift(left, 0, -10), shift(left, 8, 100)]
        canvas.shape(body, self.shirt)
        boxes = {"head": canvas.head(top, 31, 40, self.skin, self.hair)}
        canvas.ring(shift(WHEEL, dx, dy), 66, 52, (18, 18, 20), 11)
        for label, shoulder, hand, bend in (
            ("hand_right", right, pose.right, -10),
            ("hand_left", left, pose.left, 10),
        ):
            canvas.arm(shoulder, hand, 24, self.shirt, bend)
            boxes[label] = canvas.disc(hand, 15, 15, self.skin)
        if pose.smoke:
            for i in range(3):
                at = shift(top, -14 - 16 * i, 18 - 22 * i * pose.smoke)
                canvas.disc(at, 9 + 4 * i, 8 + 3 * i, (200, 200, 205))
        if pose.thing:
            boxes["object"] = draw_thing(canvas, pose.thing)
        return boxes


def draw_thing(canvas: Canvas, thing: Thing) -> Box:
    """Draws it and says where it is; its colour is that of :data:`COLOURS` at its centre."""
    colour = COLOURS[thing.kind]
    at, angle = thing.at, thing.angle
    if thing.kind == "bottle":
        neck = turned(at, angle, [(0, -40)])[0]
        return enclose(
            canvas.slab(neck, 16, 24, (235, 240, 250), angle),
            canvas.slab(at, 34, 62, colour, angle),
        )
    if thing.kind == "phone":
        return canvas.slab(at, 34, 56, colour, angle)
    if thing.kind == "cigarette":
        tip = turned(at, angle, [(0, -30)])[0]
        return enclose(
            canvas.slab(at, 16, 50, colour, angle), canvas.disc(tip, 12, 12, (255, 70, 20))
        )
    if thing.kind == "bag":
        canvas.ring(shift(at, 0, -26), 14, 14, (140, 20, 30), 5)
        return enclose(canvas.slab(at, 62, 52, colour), (at[0] - 14, at[1] - 40, at[0] + 14, at[1]))
    box = canvas.slab(at, 52, 46, colour, angle)
    canvas.slab(shift(at, 0, -16), 52, 6, (160, 110, 20), angle)
    return box
