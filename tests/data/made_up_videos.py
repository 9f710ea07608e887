"""Real videos that are made on the spot."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vitprune.data.encoding import write_video


def make_video(
    path: Path, frames: int = 6, *, size: tuple[int, int] = (48, 64), mark: int = 0
) -> Path:
    """A video file of ``size`` (H, W) that gets brighter from frame to frame.

    Videos of different ``mark``, up to 15, differ by the level of one corner.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = [
        np.full((*size, 3), 20 + 200 * i // max(1, frames - 1), np.uint8) for i in range(frames)
    ]
    for level in levels:
        level[:16, :16] += np.uint8(2 * mark)
    write_video(path, levels, fps=10)
    return path


def make_square(path: Path, places: Sequence[int], *, size: tuple[int, int] = (48, 64)) -> Path:
    """A grey video of ``size`` (H, W) with a yellow square, 16 pixels wide, at these left edges."""
    frames = []
    for x in places:
        frame = np.full((*size, 3), 128, np.uint8)
        frame[16:32, x : x + 16] = (250, 220, 20)
        frames.append(frame)
    write_video(path, frames, fps=10)
    return path


def decode_all(path: Path) -> np.ndarray:
    """Every frame, as PyAV itself decodes the file: uint8 [T, H, W, 3]."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def write_ucf101(root: Path) -> None:
    """A UCF101 of two classes with eight groups each, in three official splits."""
    classes = ("Archery", "Diving")
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("".join(f"{i} {c}\n" for i, c in enumerate(classes, 1)))
    files = []
    for label, name in enumerate(classes, 1):
        for group in range(1, 9):
            file = f"{name}/v_{name}_g{group:02d}_c01.avi"
            make_video(root / "UCF-101" / file, frames=4 + group, size=(32 + 16 * label, 64))
            files.append((file, label, group))
    for split in (1, 2, 3):
        test = [file for file, _, group in files if group % 3 == split - 1]
        (lists / f"testlist0{split}.txt").write_text("".join(f"{file}\n" for file in test))
        (lists / f"trainlist0{split}.txt").write_text(
            "".join(f"{file} {label}\n" for file, label, _ in files if file not in test)
        )


BITS = 12
"""Of the number that a numbered picture shows, in a grid of three rows and four columns."""


def numbered(number: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A picture of ``size`` (H, W) that shows its number in squares: uint8 [H, W, 3]."""
    height, width = size
    rows, columns = np.arange(height) * 3 // height, np.arange(width) * 4 // width
    bits = (number >> np.arange(BITS) & 1).reshape(3, 4)
    levels = (60 + 140 * bits[rows][:, columns]).astype(np.uint8)
    return np.repeat(levels[..., None], 3, axis=2)


def number_in(picture: np.ndarray) -> int:
    """What :func:`numbered` has drawn, also in a picture that was scaled."""
    height, width = picture.shape[:2]
    rows = ((np.arange(3) + 0.5) * height / 3).astype(int)
    columns = ((np.arange(4) + 0.5) * width / 4).astype(int)
    bits = picture[rows][:, columns].mean(axis=2).ravel() > 130
    return int((bits << np.arange(BITS)).sum())


def write_numbered(
    path: Path,
    codec: str,
    count: int,
    *,
    size: tuple[int, int] = (48, 64),
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    **options: str,
) -> Path:
    """A file of numbered frames; ``times`` in milliseconds, or else 20 of them a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(20), options=options)
        stream.height, stream.width, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered(number, size), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_packed(path: Path, count: int) -> Path:
    """An AVI as DivX writes it: each B-frame in one packet with the frame after it in display.

    An empty picture (N-VOP) in the place of the B-frame keeps the number of packets right.
    """
    picture = b"\x00\x00\x01\xb6"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(20), options={"g": "12", "bf": "1"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        stream.codec_context.thread_count = 1
        frames = [
            av.VideoFrame.from_ndarray(numbered(number), format="rgb24") for number in range(count)
        ]
        encoded = [packet for frame in (*frames, None) for packet in stream.encode(frame)]
        packed: list[tuple[bytes, bool]] = []
        for packet in encoded:
            data = bytes(packet)
            if data[data.index(picture) + 4] >> 6 == 2:  # a B-frame
                before, key = packed[-1]
                packed[-1] = (before + data, key)
                packed.append((picture + b"\x50\x00", False))
            else:
                packed.append((data, packet.is_keyframe))
        first, key = packed[0]
        at = first.index(picture)
        divx = b"\x00\x00\x01\xb2DivX503b1393p"
        packed[0] = (first[:at] + divx + first[at:], key)
        for number, (data, key) in enumerate(packed):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, 20)
            packet.pts = packet.dts = number
            packet.is_keyframe = key
            container.mux(packet)
    return path
