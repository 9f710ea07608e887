"""The stand-in of UCF101: one person doing sports or music, under names of UCF101's classes.

``CricketBowling`` and ``CricketShot`` are the same scene: the ball comes down to the bat in one
and leaves it upwards in the other. Mirrored left to right, every class stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

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
    turned,
)

SIZE = (320, 240)
COLOURS: dict[str, Colour] = {
    "basketball": (245, 130, 20),
    "cricket_ball": (215, 20, 30),
    "juggling_ball": (40, 210, 70),
    "hoop": (235, 30, 200),
    "violin": (150, 45, 10),
    "guitar": (250, 205, 40),
    "barbell": (30, 80, 240),
}
SHIRTS: tuple[Colour, ...] = (
    (70, 80, 110),
    (200, 200, 205),
    (60, 66, 64),
    (140, 126, 112),
    (92, 70, 92),
)


@dataclass(frozen=True)
class Pose:
    """A person at one moment, upright: sizes are in units of ``scale`` pixels."""

    neck: Point
    right: Point
    left: Point
    things: tuple[Thing, ...]
    scale: float = 1.0


def basketball_dunk(t: float) -> Pose:
    neck = along(t, (0, (92, 128)), (0.25, (112, 134)), (0.65, (186, 92)), (1, (196, 116)))
    ball = along(t, (0, (130, 176)), (0.25, (140, 170)), (0.65, (236, 52)), (1, (246, 120)))
    hand = along(t, (0, (130, 166)), (0.25, (136, 160)), (0.65, (222, 58)), (1, (228, 92)))
    return Pose(neck, shift(neck, -30, 42), hand, (Thing("basketball", ball),))


def cricket_shot(t: float) -> Pose:
    ball = along(t, (0.05, (150, 196)), (0.95, (238, 38)))
    neck: Point = (84, 108)
    hands = shift(neck, 30, 42)
    return Pose(
        neck,
        hands,
        shift(hands, 4, -8),
        (Thing("bat", (126, 182), -20), Thing("cricket_ball", ball)),
    )


def cricket_bowling(t: float) -> Pose:
    return cricket_shot(1 - t)


def juggling_balls(t: float) -> Pose:
    neck: Point = (160, 112)
    things = []
    for i in range(3):
        angle = 2 * math.pi * (1.5 * t + i / 3)
        at = (160 + 56 * math.cos(angle), 88 + 58 * math.sin(angle))
        things.append(Thing("juggling_ball", at))
    beat = 8 * math.sin(9 * math.pi * t)
    return Pose(neck, (106, 148 + beat), (214, 148 - beat), tuple(things))


def hula_hoop(t: float) -> Pose:
    phase = 2 * math.pi * 2 * t
    neck = (160 - 7 * math.cos(phase), 104.0)
    hoop = Thing("hoop", (160 + 20 * math.cos(phase), 160 + 5 * math.sin(phase)))
    return Pose(neck, (104, 74), (216, 74), (hoop,))


def playing_violin(t: float) -> Pose:
    reach = 26 * math.sin(2 * math.pi * 1.5 * t)
    bow = (196 - 0.5 * reach, 112 + reach)
    violin, body = Thing("bow", bow, 152), Thing("violin", (200, 122), 112)
    return Pose((150, 122), shift(bow, -34, 22), (246, 144), (body, violin), 1.5)


def playing_guitar(t: float) -> Pose:
    strum = 15 * math.sin(2 * math.pi * 3 * t)
    return Pose((160, 104), (132, 182 + strum), (244, 146), (Thing("guitar", (146, 182), 66),), 1.5)


def clean_and_jerk(t: float) -> Pose:
    bar = along(t, (0, (160, 196)), (0.35, (160, 126)), (0.55, (160, 126)), (0.85, (160, 52)))
    neck = along(t, (0, (160, 130)), (0.35, (160, 108)), (0.55, (160, 114)), (0.85, (160, 104)))
    return Pose(neck, shift(bar, -34), shift(bar, 34), (Thing("barbell", bar),))


ACTIONS: dict[str, Callable[[float], Pose]] = {
    "BasketballDunk": basketball_dunk,
    "CleanAndJerk": clean_and_jerk,
    "CricketBowling": cricket_bowling,
    "CricketShot": cricket_shot,
    "HulaHoop": hula_hoop,
    "JugglingBalls": juggling_balls,
    "PlayingGuitar": playing_guitar,
    "PlayingViolin": playing_violin,
}
"""The classes, in the order of classInd.txt."""


class SportsScene:
    """One video: a group (person, place) doing an action, in one of many takes.

    Args:
        action: a key of :data:`ACTIONS`.
        subject: what the person and the place look like is drawn from this generator,
        take: and position, timing and light from this one.
    """

    size = SIZE

    def __init__(
        self, action: str, subject: np.random.Generator, take: np.random.Generator
    ) -> None:
        self.pose = ACTIONS[action]
        self.dunk = action == "BasketballDunk"
        self.skin = pick(subject, SKINS)
        self.hair = pick(subject, HAIRS)
        self.shirt = pick(subject, SHIRTS)
        self.trousers: Colour = pick(subject, ((40, 44, 60), (96, 90, 84), (30, 60, 60)))
        self.wall: Colour = pick(
            subject, ((170, 180, 186), (150, 160, 140), (120, 128, 150), (196, 186, 170))
        )
        self.floor: Colour = pick(subject, ((120, 100, 84), (96, 120, 92), (110, 110, 116)))
        self.horizon = float(subject.uniform(150, 190))
        self.post = float(subject.uniform(10, 310))
        self.light = take.uniform(0.85, 1.12)
        self.origin: Point = (float(take.uniform(-9, 9)), float(take.uniform(-7, 7)))
        self.begin = take.uniform(-0.06, 0.06)
        self.speed = take.uniform(0.92, 1.08)
        self.background = self._background()

    def _background(self) -> Image.Image:
        canvas = Canvas(Image.new("RGB", CANVAS), self.light)
        canvas.slab((160, self.horizon / 2), 320, self.horizon + 2, self.wall)
        canvas.slab((160, (240 + self.horizon) / 2), 320, 240 - self.horizon, self.floor)
        dim = 0.85
        canvas.slab(
            (self.post, self.horizon / 2),
            26,
            self.horizon,
            (int(self.wall[0] * dim), int(self.wall[1] * dim), int(self.wall[2] * dim)),
        )
        if self.dunk:
            dx, dy = self.origin
            canvas.slab((286 + dx, 120 + dy), 8, 260, (90, 90, 96))
            canvas.slab((276 + dx, 48 + dy), 10, 74, (240, 240, 244))
        return canvas.image

    def frame(self, t: float) -> Picture:
        """The picture at time ``t`` in [0, 1] of the video, :data:`SIZE` pixels."""
        canvas = Canvas(self.background, self.light)
        pose = self._placed(self.pose(min(max(self.begin + self.speed * t, 0.0), 1.0)))
        boxes = self._person(canvas, pose)
        if self.dunk:
            canvas.ring(shift((246, 76), *self.origin), 28, 8, (200, 60, 40), 5)
        return Picture(canvas.image, clipped(boxes, SIZE))

    def _placed(self, pose: Pose) -> Pose:
        dx, dy = self.origin
        return replace(
            pose,
            neck=shift(pose.neck, dx, dy),
            right=shift(pose.right, dx, dy),
            left=shift(pose.left, dx, dy),
            things=tuple(replace(thing, at=shift(thing.at, dx, dy)) for thing in pose.things),
        )

    def _person(self, canvas: Canvas, pose: Pose) -> dict[str, Box]:
        s, neck = pose.scale, pose.neck
        hip = shift(neck, 0, 66 * s)
        for side in (-1, 1):
            foot = (neck[0] + side * 20 * s, max(hip[1] + 34, min(hip[1] + 62 * s, 228)))
            canvas.limb([shift(hip, side * 9 * s), foot], round(17 * s), self.trousers)
        canvas.shape(
            [
                shift(neck, -27 * s, 6 * s),
                shift(neck, 27 * s, 6 * s),
                shift(hip, 19 * s, 4),
                shift(hip, -19 * s, 4),
            ],
            self.shirt,
        )
        canvas.limb([shift(neck, 0, -8 * s), shift(neck, 0, 8 * s)], round(14 * s), self.skin)
        head = canvas.head(shift(neck, 0, -24 * s), 19 * s, 23 * s, self.skin, self.hair)
        boxes = {"head": head}
        behind = [thing for thing in pose.things if thing.kind in ("violin", "guitar", "bat")]
        before = [thing for thing in pose.things if thing not in behind]
        seen = [draw_thing(canvas, thing) for thing in behind if thing.kind != "bat"]
        for label, hand, side in (("hand_right", pose.right, -1), ("hand_left", pose.left, 1)):
            shoulder = shift(neck, side * 25 * s, 12 * s)
            canvas.arm(shoulder, hand, round(13 * s), self.shirt, side * 8 * s)
            boxes[label] = canvas.disc(hand, 9 * s, 9 * s, self.skin)
        for thing in behind:
            if thing.kind == "bat":
                draw_thing(canvas, thing)
        seen += [box for thing in before if (box := draw_thing(canvas, thing)) and _counts(thing)]
        boxes["object"] = enclose(*seen)
        return boxes


def _counts(thing: Thing) -> bool:
    return thing.kind != "bow"


def draw_thing(canvas: Canvas, thing: Thing) -> Box:
    """Draws it and says where it is."""
    at, angle = thing.at, thing.angle
    colour = COLOURS.get(thing.kind, (205, 170, 110))
    if thing.kind == "bat":
        return canvas.slab(at, 15, 66, colour, angle)
    if thing.kind == "bow":
        return canvas.slab(at, 5, 104, (240, 235, 220), angle)
    if thing.kind == "basketball":
        return canvas.disc(at, 28, 28, colour)
    if thing.kind == "cricket_ball":
        return canvas.disc(at, 28, 28, colour)
    if thing.kind == "juggling_ball":
        return canvas.disc(at, 20, 20, colour)
    if thing.kind == "hoop":
        return canvas.ring(at, 84, 26, colour, 13)
    if thing.kind == "barbell":
        canvas.slab(at, 220, 6, (170, 174, 180))
        ends = [canvas.disc(shift(at, side * 88), 20, 40, colour) for side in (-1, 1)]
        return enclose(*ends)
    size = 1.2 if thing.kind == "violin" else 1.5
    upper, lower = turned(at, angle, [(0, -16 * size), (0, 16 * size)])
    neck, scroll = turned(at, angle, [(0, -44 * size), (0, -70 * size)])
    canvas.limb([at, neck, scroll], round(7 * size), (60, 36, 22))
    box = enclose(
        canvas.disc(upper, 17 * size, 17 * size, colour),
        canvas.disc(lower, 22 * size, 22 * size, colour),
    )
    canvas.disc(lower, 6 * size, 6 * size, (50, 24, 14))
    return enclose(box, (scroll[0] - 4, scroll[1] - 4, scroll[0] + 4, scroll[1] + 4))
