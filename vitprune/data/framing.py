"""What part of a frame evaluation shows, and at what size: pure functions of sizes."""

from __future__ import annotations


def resized_size(height: int, width: int, image_size: int) -> tuple[int, int]:
    """(height, width) whose short side is ``image_size``, as torchvision rounds it."""
    short = min(height, width)
    return int(image_size * height / short), int(image_size * width / short)


def crop_corners(height: int, width: int, size: int, crops: int) -> list[tuple[int, int]]:
    """(top, left) of ``crops`` square crops: the centre one, or evenly spread ones."""
    places = [0.5] if crops == 1 else [i / (crops - 1) for i in range(crops)]
    return [(round(place * (height - size)), round(place * (width - size))) for place in places]
