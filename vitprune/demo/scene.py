"""What the scenes of both stand-ins share: a subject, in one take of an action, on camera."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image

from vitprune.demo.camera import Camera, Handling, Sensor
from vitprune.demo.canvas import CANVAS, CENTRE, Canvas
from vitprune.demo.colours import Colour
from vitprune.demo.geometry import Box, Point, clipped, shift
from vitprune.demo.people import Person
from vitprune.demo.things import Thing

GROUND = (160, 120)
"""What a scene is drawn and lit at; frames of another size are scaled from it."""


@dataclass(frozen=True)
class Picture:
    """One frame and what can be seen in it: label -> box (x0, y0, x1, y1) in its pixels."""

    image: Image.Image
    boxes: dict[str, Box]


class Scene(ABC):
    """One video: a subject doing an action, in one of many takes.

    Args:
        action: one of the stand-in's classes.
        subject: what the person looks like is drawn from this generator,
        take: and clothes, place, camera, light, things that lie about and timing from this one,
            before the action is known: nothing of it depends on the class.
        negative: whether light and dark are exchanged in what is recorded.
    """

    size: ClassVar[tuple[int, int]]
    handling: ClassVar[Handling]
    noise: ClassVar[float]

    def __init__(
        self,
        action: str,
        subject: np.random.Generator,
        take: np.random.Generator,
        *,
        negative: bool,
    ) -> None:
        self.action = action
        self.person = Person.draw(subject, take)
        self.camera = Camera(take, self.handling, CENTRE)
        self.sensor = Sensor(take, GROUND, self.noise, negative=negative)
        self.stage(take)

    @abstractmethod
    def stage(self, take: np.random.Generator) -> None:
        """Draw, by chance, the manner of the action and the place with what is in it."""

    @abstractmethod
    def paint(self, canvas: Canvas, t: float) -> dict[str, Box]:
        """Draw the scene at time ``t``; label -> box on the canvas."""

    def unexposed(self, t: float) -> Picture:
        """The picture at time ``t`` in [0, 1] of the video in neutral light, of :data:`GROUND`."""
        canvas = Canvas(self.camera.view(t))
        boxes = self.paint(canvas, t)
        image = canvas.image.reduce(CANVAS[0] // GROUND[0])
        return Picture(image, clipped(boxes, GROUND, GROUND[0] / CANVAS[0]))

    def frame(self, t: float) -> Picture:
        """The picture at time ``t`` in [0, 1] of the video as it is recorded, of ``size``."""
        plain = self.unexposed(t)
        image = self.sensor.expose(plain.image, t)
        if self.size != GROUND:
            image = image.resize(self.size, Image.Resampling.BILINEAR)
        return Picture(image, clipped(plain.boxes, self.size, self.size[0] / GROUND[0]))


def litter(
    take: np.random.Generator,
    kinds: Sequence[str],
    places: Sequence[Point],
    number: int,
    colour: Callable[[np.random.Generator], Colour],
) -> list[Thing]:
    """``number`` things of any kind, at different ones of the places, roughly."""
    chosen = take.permutation(len(places))[:number]
    return [
        Thing(
            kind=kinds[int(take.integers(len(kinds)))],
            at=shift(places[int(i)], *take.uniform(-9, 9, 2)),
            colour=colour(take),
            angle=float(take.uniform(-40, 40)),
            size=float(take.uniform(0.7, 1.05)),
        )
        for i in chosen
    ]
