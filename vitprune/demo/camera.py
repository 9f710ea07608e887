"""The camera: where it looks, how it shakes, and what its sensor and its encoder make of light."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vitprune.demo.geometry import Point, wave

ROOM = 32
"""Every frame has another part of its video's noise, which is by so many pixels larger."""


@dataclass(frozen=True)
class View:
    """From the scene to the picture, in pixels of the canvas: zoomed at its centre, and moved."""

    centre: Point
    zoom: float = 1.0
    move: Point = (0.0, 0.0)

    def at(self, point: Point) -> Point:
        return (
            self.centre[0] + self.zoom * (point[0] - self.centre[0]) + self.move[0],
            self.centre[1] + self.zoom * (point[1] - self.centre[1]) + self.move[1],
        )


@dataclass(frozen=True)
class Handling:
    """How a camera is held. Moves are in pixels of the canvas.

    Args:
        reach: how far from the scene's centre there is something that matters. It may stand
            wherever that stays in the picture, and in the square at the picture's centre.
        zooms: least and most zoom.
        pan: how far it may pan, to either side of where it stands.
        zooming: by which share the zoom may change, either way.
        shake: how far it shakes.
    """

    reach: Point
    zooms: tuple[float, float]
    pan: float
    zooming: float
    shake: float


class Camera:
    """One video's camera: stands, pans, zooms and shakes as ``take`` says."""

    def __init__(self, take: np.random.Generator, handling: Handling, centre: Point) -> None:
        self.centre = centre
        self.zoom = take.uniform(*handling.zooms)
        room = centre[1] - self.zoom * np.array(handling.reach)
        self.place = take.uniform(-1, 1, 2) * room
        self.pan = take.uniform(-1, 1, 2) * (handling.pan, 0.3 * handling.pan)
        self.zooming = take.uniform(-1, 1) * handling.zooming
        self.shake = take.uniform(0.2, 1) * handling.shake
        self.rates = take.uniform(2, 7, 2)
        self.phases = take.uniform(0, 1, 2)

    def view(self, t: float) -> View:
        """What it sees at time ``t`` in [0, 1] of the video."""
        travel = 2 * t - 1
        x, y = (
            place + pan * travel + self.shake * wave(rate * t + phase)
            for place, pan, rate, phase in zip(
                self.place, self.pan, self.rates, self.phases, strict=True
            )
        )
        return View(self.centre, self.zoom * (1 + self.zooming * travel), (float(x), float(y)))


class Sensor:
    """One video's light, noise and compression.

    Args:
        take: all of it is drawn from this generator.
        size: width and height of the frames, in pixels.
        noise: the strongest noise's standard deviation, in grey levels.
        negative: whether light and dark are exchanged.
    """

    def __init__(
        self, take: np.random.Generator, size: tuple[int, int], noise: float, *, negative: bool
    ) -> None:
        width, height = size
        self.negative = negative
        self.gain = take.uniform(0.92, 1.08) * take.uniform(0.96, 1.04, 3)
        self.offset = take.uniform(-6, 6)
        slope = take.uniform(-0.08, 0.08, 2)
        x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
        self.gradient = (1 + slope[0] * x + slope[1] * y)[..., None].astype(np.float32)
        self.flicker = take.uniform(0, 0.03)
        self.rate, self.phase = take.uniform(1, 6), take.uniform(0, 1)
        self.seed = int(take.integers(2**32))
        grain = np.random.default_rng(self.seed).standard_normal
        shape = (height + ROOM, width + ROOM, 3)
        self.noise = np.float32(take.uniform(1, noise)) * grain(shape, np.float32)
        self.quality = int(take.integers(35, 92))

    def expose(self, image: Image.Image, t: float) -> Image.Image:
        """What is recorded of the scene at time ``t`` in [0, 1] of the video."""
        light = self.gain * (1 + self.flicker * wave(self.rate * t + self.phase))
        y, x = np.random.default_rng([self.seed, round(1e6 * t)]).integers(ROOM, size=2)
        seen = np.asarray(image, np.float32) * (self.gradient * light.astype(np.float32))
        height, width = seen.shape[:2]
        seen += self.noise[y : y + height, x : x + width] + np.float32(self.offset)
        levels = seen.clip(0, 255).astype(np.uint8)
        exposed = Image.fromarray(255 - levels if self.negative else levels)
        stream = io.BytesIO()
        exposed.save(stream, "JPEG", quality=self.quality)
        return Image.open(stream).convert("RGB")
