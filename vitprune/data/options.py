"""Options of the dataset group that are out of range are refused in one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from vitprune.errors import InputError

T = TypeVar("T")


def refuse(key: str, value: object, right: str) -> InputError:
    """The error for ``dataset.<key>``, to be raised."""
    return InputError(f"dataset.{key} is {value!r}; it must be {right}")


def whole(key: str, value: int, least: int = 1) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise refuse(key, value, f"a whole number of at least {least}")
    return value


def fraction(key: str, value: float, *, inclusive: bool = False) -> float:
    """A number between 0 and 1."""
    good = isinstance(value, float | int) and (0 < value < 1 or (inclusive and value in (0, 1)))
    if not good:
        raise refuse(key, value, "a number from 0 to 1" if inclusive else "between 0 and 1")
    return float(value)


def above_zero(key: str, value: float) -> float:
    """A number above 0."""
    if isinstance(value, bool) or not isinstance(value, float | int) or not value > 0:
        raise refuse(key, value, "a number above 0")
    return float(value)


def choice(key: str, value: T, choices: Sequence[object]) -> T:
    """One of a few values."""
    if value not in choices:
        *most, last = map(str, choices)
        raise refuse(key, value, f"{', '.join(most)} or {last}" if most else last)
    return value


def channels(key: str, values: Sequence[float], *, positive: bool) -> tuple[float, float, float]:
    """A number for each of red, green and blue."""
    try:
        red, green, blue = (float(value) for value in values)
    except (TypeError, ValueError):
        raise refuse(key, values, "three numbers") from None
    if positive and min(red, green, blue) <= 0:
        raise refuse(key, list(values), "three positive numbers")
    return red, green, blue


def area(key: str, values: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest share of something."""
    try:
        least, most = (float(value) for value in values)
    except (TypeError, ValueError):
        least, most = 1.0, 0.0
    if not 0 < least <= most <= 1:
        raise refuse(key, list(values), "two ascending shares, above 0 and at most 1")
    return least, most
