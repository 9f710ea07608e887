"""The stand-in of UCF101: one person doing sports or music, filmed by hand."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from vitprune.demo.camera import Handling
from vitprune.demo.canvas import Canvas
from vitprune.demo.colours import calm, mark, vivid
from vitprune.demo.geometry import Box, Point, enclose, shift
from vitprune.demo.manner import Manner
from vitprune.demo.people import Face, draw_arm, draw_head
from vitprune.demo.playing import ACTIONS, Pose, mirrored
from vitprune.demo.scene import Scene, litter
from vitprune.demo.things import Thing, draw_thing

SIZE = (320, 240)
KINDS = ("ball", "bat", "hoop", "barbell", "violin", "guitar", "sack", "bow")
PLACES: tuple[Point, ...] = (
    (50, 60), (56, 130), (60, 200), (120, 40), (130, 214), (196, 36), (200, 216), (262, 66),
    (258, 134), (262, 204),
)  # fmt: skip
FLOOR = 222.0
"""Where the feet stand."""


class FieldScene(Scene):
    """One video of UCF101's stand-in; see :class:`~vitprune.demo.scene.Scene`."""

    size: ClassVar[tuple[int, int]] = SIZE
    handling: ClassVar[Handling] = Handling((104, 110), (0.9, 1.04), 6, 0.04, 1.0)
    noise: ClassVar[float] = 5.0

    def stage(self, take: np.random.Generator) -> None:
        """See the base."""
        self.manner = Manner.draw(take)
        self.mirror = bool(take.random() < 0.5)
        self.yaw = float(take.uniform(-0.4, 0.4))
        self.wall, self.floor = calm(take), calm(take)
        self.horizon = float(take.uniform(150, 200))
        self.colours = [vivid(take) for _ in range(3)]
        self.litter = litter(take, KINDS, PLACES, 4, vivid)
        self.posts = [(float(x), calm(take)) for x in take.uniform(-120, 440, 5)]
        self.passers = [
            (float(start), float(pace), calm(take))
            for start, pace in zip(take.uniform(0, 560, 3), take.uniform(-300, 300, 3), strict=True)
        ]

    def paint(self, canvas: Canvas, t: float) -> dict[str, Box]:
        """See the base."""
        self._place(canvas, t)
        pose = ACTIONS[self.action](t, self.manner)
        return self._person(canvas, mirrored(pose) if self.mirror else pose)

    def _place(self, canvas: Canvas, t: float) -> None:
        canvas.slab((160, self.horizon - 200), 900, 400, self.wall)
        canvas.slab((160, self.horizon + 200), 900, 400, self.floor)
        for x, colour in self.posts:
            canvas.slab((x, self.horizon - 150), 22, 300, colour)
        for start, pace, colour in self.passers:
            x = (start + pace * t) % 560 - 120
            canvas.disc((x, self.horizon - 20), 12, 40, colour)
        for thing in self.litter:
            draw_thing(canvas, thing)

    def _person(self, canvas: Canvas, pose: Pose) -> dict[str, Box]:
        who = self.person
        neck = shift(pose.neck, 0, -pose.jump)
        hip = shift(neck, pose.sway, 62)
        things = [
            Thing(prop.kind, prop.at, self.colours[min(i, 2)], prop.angle, prop.size)
            for i, prop in enumerate(pose.props)
        ]
        if pose.props and pose.props[0].kind == "ball":  # balls are all of one colour
            things = [
                Thing(it.kind, it.at, self.colours[0], it.angle, it.size)
                if it.kind == "ball"
                else it
                for it in things
            ]
        for side in (-1, 1):
            foot = (pose.neck[0] + side * pose.apart, FLOOR - pose.jump)
            joint = shift(hip, side * 9 * who.broad)
            knee = ((joint[0] + foot[0]) / 2 + side * 0.7 * pose.squat, (joint[1] + foot[1]) / 2)
            canvas.limb([joint, knee, foot], 17, who.trousers)
        wide = 26 * who.broad
        canvas.shape(
            [
                shift(neck, -wide, 5),
                shift(neck, wide, 5),
                shift(hip, 0.7 * wide, 5),
                shift(hip, -0.7 * wide, 5),
            ],
            who.shirt,
        )
        canvas.limb([shift(neck, 0, -8), shift(neck, 0, 8)], 13, mark(who.skin, 18))
        boxes = {"head": draw_head(canvas, shift(neck, 0, -25), 18, who, Face(self.yaw))}
        behind = ("violin", "guitar", "sack")
        seen = {i: draw_thing(canvas, it) for i, it in enumerate(things) if it.kind in behind}
        for label, hand, side in (("hand_right", pose.right, -1), ("hand_left", pose.left, 1)):
            shoulder = shift(neck, side * 0.9 * wide, 12)
            boxes[label] = draw_arm(canvas, shoulder, hand, 13, who, side * 8)
        seen |= {i: draw_thing(canvas, it) for i, it in enumerate(things) if it.kind not in behind}
        used = [box for i, box in seen.items() if things[i].kind not in ("bow", "bat")]
        if used:
            boxes["object"] = enclose(*used)
        return boxes
