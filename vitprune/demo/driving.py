"""What drivers do: the classes of DAI's stand-in, as poses over time.

The camera faces the driver, so the driver's right hand is on the left of the picture. Every action
begins and ends with both hands at the wheel and the eyes on the road. ``pick_up`` and ``put_down``
are each other played backwards, as one frame of them is; ``_left`` and ``_right`` are mirrored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from vitprune.demo import manner
from vitprune.demo.geometry import Point, along, held, mix, shift, smooth, wave
from vitprune.demo.people import Face

HEAD: Point = (160, 84)
RIGHT_GRIP: Point = (108, 182)
LEFT_GRIP: Point = (212, 182)
SEAT: Point = (64, 172)
RADIO: Point = (84, 212)
AHEAD = Face()


@dataclass(frozen=True)
class Manner(manner.Manner):
    """How a driver does an action in one take; beside what all of them have:

    Args:
        hand: ``right`` or ``left``: which is used where either may be.
        aim: how far from its usual place a hand goes, in pixels.
        carries: kind of the thing that is held at the wheel. Actions that take a thing take one
            of their own.
    """

    gentlest: ClassVar[float] = 0.8
    hand: str
    aim: Point
    carries: str

    @classmethod
    def _drawn(cls, take: np.random.Generator) -> dict[str, Any]:
        return {
            **super()._drawn(take),
            "hand": ("right", "left")[int(take.integers(2))],
            "aim": (float(take.uniform(-10, 10)), float(take.uniform(-10, 10))),
            "carries": ("phone", "bottle", "parcel", "bag")[int(take.integers(4))],
        }


@dataclass(frozen=True)
class Reach:
    """A hand away from the wheel: ``to`` where, and how far on the way there (0 to 1)."""

    to: Point
    far: float


@dataclass(frozen=True)
class Pose:
    """The driver at one moment.

    Args:
        face: how the head is turned.
        head: how far the head is from where it usually is, in pixels.
        right: where the right hand is, unless at the wheel.
        left: likewise.
        kind: of the thing that is handled, if any.
        grip: which hand holds it, ``right`` or ``left``; else it lies on the seat.
        tilt: its angle.
    """

    face: Face = AHEAD
    head: Point = (0.0, 0.0)
    right: Reach | None = None
    left: Reach | None = None
    kind: str | None = None
    grip: str | None = None
    tilt: float = 0.0


def _reaching(pose: Pose, hand: str, reach: Reach) -> Pose:
    return replace(pose, right=reach) if hand == "right" else replace(pose, left=reach)


def drive_safely(u: float, how: Manner) -> Pose:
    return Pose(kind=how.carries, grip=how.hand)


def _look(u: float, how: Manner, yaw: float, pitch: float) -> Pose:
    far = held(u, 0.2, 0.75) * how.strength
    face = Face(yaw * far, pitch * far)
    return replace(drive_safely(u, how), face=face, head=(10 * face.yaw, 8 * face.pitch))


def look_left(u: float, how: Manner) -> Pose:
    return _look(u, how, 0.95, 0.0)


def look_right(u: float, how: Manner) -> Pose:
    return _look(u, how, -0.95, 0.0)


def look_down(u: float, how: Manner) -> Pose:
    return _look(u, how, 0.0, 1.0)


def nod_off(u: float, how: Manner) -> Pose:
    """Twice the head sinks slowly and starts up; looking down is quick, and once."""
    sink = (2 * u) % 1.0 if u < 1 else 0.0
    far = smooth(sink / 0.7) * smooth((1 - sink) / 0.2) * how.strength
    face = Face(0.15 * far, 1.05 * far, shut=0 < u < 1)
    return replace(drive_safely(u, how), face=face, head=(6 * far, 20 * far))


def yawn(u: float, how: Manner) -> Pose:
    far = held(u, 0.35, 0.7) * how.strength
    face = Face(0.0, -0.45 * far, mouth=far, shut=far > 0.5)
    return replace(drive_safely(u, how), face=face, head=(0, -4 * far))


def talk(u: float, how: Manner) -> Pose:
    """To the passenger: turned like looking right, but speaking, with one hand."""
    far = held(u, 0.2, 0.8)
    beat = how.tempo * 3 * u + how.phase
    face = Face(-0.75 * far * how.strength, 0.12 * far * wave(beat), far * (0.4 + 0.4 * wave(beat)))
    palm = (104 + how.aim[0] + 12 * wave(beat), 142 + how.aim[1] + 12 * wave(beat + 0.25))
    pose = Pose(kind=how.carries, grip="left", face=face, head=(-8 * far, 0))
    return replace(pose, right=Reach(palm, far))


def hands_off(u: float, how: Manner) -> Pose:
    far = held(u)
    x, y = how.aim
    chest = {"right": (136 + x, 156 + y), "left": (184 + x, 156 + y)}
    pose = Pose(kind=how.carries, grip=how.hand)
    return replace(pose, right=Reach(chest["right"], far), left=Reach(chest["left"], far))


def _phone(u: float, how: Manner, hand: str) -> Pose:
    far = held(u)
    side = -1 if hand == "right" else 1
    ear = (HEAD[0] + side * 44 + how.aim[0], HEAD[1] + 10 + how.aim[1])
    face = Face(0.0, 0.0, 0.35 * far * (1 + wave(how.tempo * 3 * u + how.phase)))
    pose = Pose(
        face, head=(side * 5 * far, 3 * far), kind="phone", grip=hand, tilt=-12 * side * far
    )
    return _reaching(pose, hand, Reach(ear, far))


def phone_left(u: float, how: Manner) -> Pose:
    return _phone(u, how, "left")


def phone_right(u: float, how: Manner) -> Pose:
    return _phone(u, how, "right")


def _text(u: float, how: Manner, hand: str) -> Pose:
    far = held(u)
    side = -1 if hand == "right" else 1
    beat = how.tempo * 4 * u + how.phase
    x, y = how.aim
    palm = (HEAD[0] + side * 26 + x + 5 * wave(beat), 160 + y + 5 * wave(1.3 * beat))
    face = Face(0.1 * side * far, 0.85 * far * how.strength)
    pose = Pose(face, head=(0, 7 * far), kind="phone", grip=hand, tilt=14 * side * far)
    return _reaching(pose, hand, Reach(palm, far))


def text_left(u: float, how: Manner) -> Pose:
    return _text(u, how, "left")


def text_right(u: float, how: Manner) -> Pose:
    return _text(u, how, "right")


def drink(u: float, how: Manner) -> Pose:
    far = held(u)
    side = -1 if how.hand == "right" else 1
    mouth = (HEAD[0] + side * 14 + 0.4 * how.aim[0], HEAD[1] + 48 + 0.4 * how.aim[1])
    face = Face(0.0, -0.5 * far * how.strength, 0.2 * far)
    tilt = -side * 50 * held(u, 0.45, 0.6)
    pose = Pose(face, head=(0, -3 * far), kind="bottle", grip=how.hand, tilt=tilt)
    return _reaching(pose, how.hand, Reach(mouth, far))


def reach_back(u: float, how: Manner) -> Pose:
    """Between the seats, to the rear: the head turns and the body leans after it."""
    far = held(u, 0.35, 0.65)
    back = (66 + how.aim[0], 118 + how.aim[1])
    face = Face(-1.0 * far * how.strength, 0.15 * far)
    pose = Pose(face, head=(-22 * far, 4 * far), kind=how.carries, grip="left")
    return replace(pose, right=Reach(back, far))


def adjust_radio(u: float, how: Manner) -> Pose:
    far = held(u)
    beat = how.tempo * 3 * u + how.phase
    knob = (
        RADIO[0] + how.aim[0] + 6 * wave(beat),
        RADIO[1] + 0.5 * how.aim[1] + 4 * wave(2 * beat),
    )
    face = Face(-0.4 * far * how.strength, 0.5 * far * how.strength)
    pose = Pose(face, head=(-4 * far, 3 * far), kind=how.carries, grip="left")
    return replace(pose, right=Reach(knob, far))


def pick_up(u: float, how: Manner) -> Pose:
    """The right hand goes to the seat empty, and comes back with a thing."""
    far = held(u, 0.4, 0.55)
    face = Face(-0.6 * far * how.strength, 0.3 * far)
    pose = Pose(face, head=(-9 * far, 4 * far), right=Reach(shift(SEAT, *how.aim), far))
    return replace(pose, kind=how.carries, grip="right" if u > 0.475 else None)


def put_down(u: float, how: Manner) -> Pose:
    return pick_up(1 - u, how)


ACTIONS: dict[str, Callable[[float, Manner], Pose]] = {
    action.__name__: action
    for action in (
        drive_safely, look_left, look_right, look_down, nod_off, yawn, talk, hands_off, phone_left,
        phone_right, text_left, text_right, drink, reach_back, adjust_radio, pick_up, put_down,
    )
}  # fmt: skip
"""The classes, in the order of classes.txt."""


def hand_at(grip: Point, reach: Reach | None) -> Point:
    """Where a hand is whose place at the wheel is ``grip``: it goes up in an arc, not through."""
    if reach is None:
        return grip
    middle = mix(grip, reach.to, 0.5)
    return along(reach.far, (0, grip), (0.5, (middle[0], middle[1] - 4)), (1, reach.to))
