"""Colours that say nothing: what a thing is, or what happens, is never told by one.

Places and clothes are muted, skins and objects stand out from them, of any hue. Every second take
is recorded as a negative. So the colour to be expected at a place of the picture is the same grey
whatever is there, in every class, and one frame tells a linear model next to nothing.
"""

from __future__ import annotations

import numpy as np

Colour = tuple[int, int, int]


GREY = 128


def calm(rng: np.random.Generator) -> Colour:
    """A muted colour, for what is behind and beside what matters: places and clothes."""
    r, g, b = (GREY + int(channel) for channel in rng.integers(-14, 15, 3))
    return (r, g, b)


def vivid(rng: np.random.Generator) -> Colour:
    """A colour that stands out from places and from skins, for objects: of any hue."""
    weak, middle, strong = rng.integers(40, 100), rng.integers(50, 120), rng.integers(80, 120)
    r, g, b = (GREY - int(c) for c in rng.permutation([weak, middle, strong]))
    return (r, g, b)


def faint(rng: np.random.Generator) -> Colour:
    """A colour of any hue that hardly stands out, for things that only lie about."""
    r, g, b = (GREY + (c - GREY) // 3 for c in vivid(rng))
    return (r, g, b)


def skin(rng: np.random.Generator) -> Colour:
    """A figure's, of any hue: people here are mannequins, and look like nobody."""
    tone = GREY + rng.uniform(55, 88)
    r, g, b = (round(tone + tint) for tint in rng.permutation([-36.0, rng.uniform(-36, 36), 36.0]))
    return (r, g, b)


def hair(rng: np.random.Generator) -> Colour:
    """Of hair or a scarf: it stands out from the skin, so that a head shows how it is turned."""
    tone = GREY - rng.uniform(35, 90)
    r, g, b = (int(np.clip(tone + channel, 0, 255)) for channel in rng.uniform(-30, 30, 3))
    return (r, g, b)


def mark(colour: Colour, strength: int) -> Colour:
    """Of what is drawn on a thing: so much darker than a light one, lighter than a dark one."""
    sign = -1 if sum(colour) > 3 * GREY else 1
    r, g, b = (min(255, max(0, channel + sign * strength)) for channel in colour)
    return (r, g, b)


def shade(colour: Colour, factor: float) -> Colour:
    """The same colour in less light (below 1), or in more."""
    r, g, b = (min(255, round(channel * factor)) for channel in colour)
    return (r, g, b)
