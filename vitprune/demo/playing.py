"""What people do in UCF101's stand-in: its classes, as poses over time, under names of UCF101's.

``CricketBowling`` and ``CricketShot`` are each other played backwards, as one frame of them is.
Mirrored left to right, every class stays what it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from vitprune.demo.geometry import Point, along, mix, shift, smooth, wave
from vitprune.demo.manner import Manner

NECK: Point = (160, 96)


@dataclass(frozen=True)
class Prop:
    """A thing that is used: its kind, where its centre is, its angle and its size."""

    kind: str
    at: Point
    angle: float = 0.0
    size: float = 1.0


@dataclass(frozen=True)
class Pose:
    """A person at one moment, facing the camera.

    Args:
        right: the right hand, on the left of the picture,
        left: and the left one.
        neck: where the neck is.
        squat: how far the hips are lowered towards the feet, in pixels.
        jump: how far all of the body is off the ground, in pixels.
        apart: how far each foot is from the middle, in pixels.
        sway: how far the hips are to the side, in pixels.
        props: what is used, the one that matters most first.
    """

    right: Point
    left: Point
    neck: Point = NECK
    squat: float = 0.0
    jump: float = 0.0
    apart: float = 20.0
    sway: float = 0.0
    props: tuple[Prop, ...] = ()


def body_weight_squats(t: float, how: Manner) -> Pose:
    """Slowly down and up, the hands before the chest."""
    down = (1 - wave(how.cycles(t, 1.5) + 0.25)) / 2 * 40 * how.strength
    neck = shift(NECK, 0, down)
    return Pose(shift(neck, -16, 34), shift(neck, 16, 34), neck, squat=down)


def boxing_punching_bag(t: float, how: Manner) -> Pose:
    """Fists go to the bag in turns, and it swings."""
    beat = how.cycles(t, 2.5)
    hit = wave(beat) * how.strength
    bag = (238 + 5 * wave(beat + 0.2), 96.0)
    guard, target = (146.0, 112.0), (212.0, 112.0)
    right, left = mix(guard, target, max(hit, 0)), mix(shift(guard, 30), target, max(-hit, 0))
    return Pose(right, left, shift(NECK, -8 + 4 * hit), props=(Prop("sack", bag),))


def clean_and_jerk(t: float, how: Manner) -> Pose:
    """The bar comes to the chest, rests there, and goes up."""
    u = how.progress(t)
    bar = along(u, (0, (160, 198)), (0.35, (160, 116)), (0.55, (160, 116)), (0.85, (160, 44)))
    squat = 30 * (1 - smooth(u / 0.35)) + 12 * math.exp(-(((u - 0.6) / 0.08) ** 2))
    neck = shift(NECK, 0, squat)
    return Pose(shift(bar, -36), shift(bar, 36), neck, squat=squat, props=(Prop("barbell", bar),))


def cricket_shot(t: float, how: Manner) -> Pose:
    """The ball goes away from the bat, upwards."""
    return _cricket(how.progress(t))


def cricket_bowling(t: float, how: Manner) -> Pose:
    """The ball comes down to the bat."""
    return _cricket(1 - how.progress(t))


def _cricket(u: float) -> Pose:
    ball = along(u, (0.05, (168, 190)), (0.95, (250, 30)))
    neck = shift(NECK, -44)
    hands = shift(neck, 34, 46)
    props = (Prop("ball", ball), Prop("bat", shift(hands, 18, 38), -26))
    return Pose(hands, shift(hands, 4, -8), neck, props=props)


def hula_hoop(t: float, how: Manner) -> Pose:
    beat = how.cycles(t, 2)
    hip = 9 * wave(beat) * how.strength
    hoop = Prop("hoop", (160 + 2 * hip, 156 + 7 * wave(beat + 0.25)))
    lifted = 6 * wave(beat + 0.1)
    return Pose((108, 92 + lifted), (212, 92 - lifted), sway=hip, props=(hoop,))


def juggling_balls(t: float, how: Manner) -> Pose:
    """Three balls go round above the hands."""
    beat = how.cycles(t, 1.5)
    balls = []
    for i in range(3):
        turn = beat + i / 3
        balls.append(Prop("ball", (160 + 50 * wave(turn), 86 + 52 * wave(turn + 0.25)), size=0.85))
    lift = 9 * wave(3 * beat)
    return Pose((112, 142 + lift), (208, 142 - lift), props=tuple(balls))


def jumping_jack(t: float, how: Manner) -> Pose:
    """Hands and feet go apart and together."""
    wide = (1 - wave(how.cycles(t, 2) + 0.25)) / 2
    reach = math.radians(-70 + 150 * wide * how.strength)
    x, y = 62 * math.cos(reach), -62 * math.sin(reach)
    hands = shift(NECK, -24 - x, 12 + y), shift(NECK, 24 + x, 12 + y)
    return Pose(*hands, jump=10 * wave(how.cycles(t, 2)) ** 2, apart=14 + 34 * wide)


def jump_rope(t: float, how: Manner) -> Pose:
    """Small jumps, while a rope goes round: over the head, under the feet."""
    beat = how.cycles(t, 2.5)
    jump = 16 * max(0.0, -wave(beat)) * how.strength
    rope = Prop("hoop", (160, 140 - 84 * wave(beat)), size=0.85)
    return Pose((106, 146 - jump), (214, 146 - jump), jump=jump, apart=10, props=(rope,))


def playing_guitar(t: float, how: Manner) -> Pose:
    """One hand strums, quickly, before the belly."""
    strum = 15 * wave(how.cycles(t, 3)) * how.strength
    guitar = Prop("guitar", (150, 152), 66)
    return Pose((138, 150 + strum), (222, 122), props=(guitar,))


def playing_violin(t: float, how: Manner) -> Pose:
    """One hand leads the bow, slowly and far, at the shoulder."""
    stroke = 24 * wave(how.cycles(t, 1.5)) * how.strength
    bow = (180 - 0.7 * stroke, 104 + stroke)
    props = (Prop("violin", (190, 106), 106), Prop("bow", bow, 145))
    return Pose(shift(bow, -28, 32), (240, 118), shift(NECK, -4), props=props)


def yo_yo(t: float, how: Manner) -> Pose:
    """A ball goes down from a hand and comes back, and the hand goes with it."""
    out = abs(wave(how.cycles(t, 1)))
    hand = (214, 122 - 16 * out)
    return Pose((112, 152), hand, props=(Prop("ball", shift(hand, 6, 16 + 80 * out), size=0.85),))


ACTIONS: dict[str, Callable[[float, Manner], Pose]] = {
    "BodyWeightSquats": body_weight_squats,
    "BoxingPunchingBag": boxing_punching_bag,
    "CleanAndJerk": clean_and_jerk,
    "CricketBowling": cricket_bowling,
    "CricketShot": cricket_shot,
    "HulaHoop": hula_hoop,
    "JugglingBalls": juggling_balls,
    "JumpRope": jump_rope,
    "JumpingJack": jumping_jack,
    "PlayingGuitar": playing_guitar,
    "PlayingViolin": playing_violin,
    "YoYo": yo_yo,
}
"""The classes, in the order of classInd.txt."""


def mirrored(pose: Pose) -> Pose:
    """The same pose the other way round: what the right hand did, the left one does."""

    def other(point: Point) -> Point:
        return (2 * NECK[0] - point[0], point[1])

    props = tuple(replace(prop, at=other(prop.at), angle=-prop.angle) for prop in pose.props)
    return replace(
        pose,
        right=other(pose.left),
        left=other(pose.right),
        neck=other(pose.neck),
        sway=-pose.sway,
        props=props,
    )
