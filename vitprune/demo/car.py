"""The stand-in of DAI: a driver, seen from the dashboard, with things lying about in the car."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vitprune.demo.camera import Handling
from vitprune.demo.canvas import Canvas
from vitprune.demo.colours import calm, faint, mark, vivid
from vitprune.demo.driving import (
    ACTIONS,
    HEAD,
    LEFT_GRIP,
    RIGHT_GRIP,
    SEAT,
    Manner,
    Pose,
    hand_at,
)
from vitprune.demo.geometry import Box, Point, shift, turned, wave
from vitprune.demo.people import Face, draw_arm, draw_head
from vitprune.demo.scene import Scene, litter
from vitprune.demo.things import Thing, draw_thing

SIZE = (160, 120)
WHEEL: Point = (160, 210)
KINDS = ("phone", "bottle", "parcel", "bag")
PLACES: tuple[Point, ...] = (
    SEAT, (60, 120), (84, 222), (134, 226), (190, 226), (240, 222), (258, 178), (256, 124),
)  # fmt: skip


class CarScene(Scene):
    """One video of DAI's stand-in; see :class:`~vitprune.demo.scene.Scene`."""

    size: ClassVar[tuple[int, int]] = SIZE
    handling: ClassVar[Handling] = Handling((104, 107), (0.95, 1.06), 1, 0.01, 0.8)
    noise: ClassVar[float] = 5.0

    def stage(self, take: np.random.Generator) -> None:
        """See the base."""
        self.manner = Manner.draw(take)
        self.steering, self.turns, self.beat = (
            take.uniform(2, 14),
            take.uniform(0.5, 1.5),
            take.random(),
        )
        self.glance, self.glances = take.uniform(0, 0.2), take.uniform(0.5, 2)
        self.interior, self.sky = calm(take), calm(take)
        self.seat = calm(take)
        self.wheel = calm(take)
        self.object, self.bulk = vivid(take), float(take.uniform(1.1, 1.35))
        self.litter = litter(take, KINDS, PLACES, 4, faint)
        self.pace = take.uniform(-1, 1) * 400
        self.scenery = [
            (float(x), float(height), calm(take))
            for x, height in zip(take.uniform(0, 560, 9), take.uniform(14, 60, 9), strict=True)
        ]

    def paint(self, canvas: Canvas, t: float) -> dict[str, Box]:
        """See the base."""
        self._car(canvas, t)
        pose = ACTIONS[self.action](self.manner.progress(t), self.manner)
        for thing in self.litter:
            draw_thing(canvas, thing)
        return self._driver(canvas, pose, t)

    def _car(self, canvas: Canvas, t: float) -> None:
        canvas.slab((160, 60), 900, 140, self.sky)
        for x, height, colour in self.scenery:
            x = (x + self.pace * t) % 560 - 120
            canvas.disc((x, 104), 16, height, colour)
        canvas.slab((160, 410), 900, 600, self.interior)  # below the windows,
        for x in (-90, 8, 112, 208, 312, 410):
            canvas.slab((x, 40), 20, 240, self.interior)  # and the posts between them
        canvas.slab((160, -300), 900, 600, self.interior)

    def _driver(self, canvas: Canvas, pose: Pose, t: float) -> dict[str, Box]:
        who = self.person
        head = shift(HEAD, *pose.head)
        chest = shift((160, 140), 0.6 * pose.head[0])
        canvas.slab((160, 92), 66, 110, self.seat)  # the head-rest and the seat
        canvas.slab((160, 200), 150, 130, self.seat)
        canvas.limb([shift(head, 0, 22), shift(chest, 0, -4)], 26, mark(who.skin, 18))
        wide = 50 * who.broad
        right, left = shift(chest, -wide, 4), shift(chest, wide, 4)
        body = [shift(right, -8, 120), shift(right, -4, -4), shift(right, 28, -16)]
        body += [shift(left, -28, -16), shift(left, 4, -4), shift(left, 8, 120)]
        canvas.shape(body, who.shirt)
        face = pose.face
        idle = self.glance * wave(self.glances * t + self.beat)
        face = Face(face.yaw + idle, face.pitch + 0.5 * idle, face.mouth, face.shut)
        boxes = {"head": draw_head(canvas, head, 33, who, face)}
        canvas.ring(WHEEL, 64, 50, self.wheel, 9)
        angle = self.steering * wave(self.turns * t + self.beat)
        grips = turned(
            WHEEL, angle, [shift(g, -WHEEL[0], -WHEEL[1]) for g in (RIGHT_GRIP, LEFT_GRIP)]
        )
        hands = {
            "right": hand_at(grips[0], pose.right),
            "left": hand_at(grips[1], pose.left),
        }
        if pose.kind and pose.grip is None and pose.right:  # it lies where the hand goes
            boxes["object"] = draw_thing(
                canvas, Thing(pose.kind, pose.right.to, self.object, size=self.bulk)
            )
        for side, shoulder, bend in (("right", right, -12), ("left", left, 12)):
            boxes[f"hand_{side}"] = draw_arm(canvas, shoulder, hands[side], 26, who, bend)
        if pose.kind and pose.grip:
            inwards = 3 if pose.grip == "right" else -3
            at = shift(hands[pose.grip], inwards, -14)
            boxes["object"] = draw_thing(
                canvas, Thing(pose.kind, at, self.object, pose.tilt, self.bulk)
            )
        return boxes
