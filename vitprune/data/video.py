"""Video files to frames, only those that are asked for, and frames to video files, with PyAV.

A file's frames are counted by reading its packets, without decoding them, since what containers
say of their length is often missing or wrong.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vitprune.errors import InputError

SEEK_FRAMES = 48
"""Frames that need not be decoded from which on a seek is worth its cost."""


@dataclass(frozen=True)
class VideoIndex:
    """What is known of a video file before it is decoded.

    Attributes:
        times: seconds from the first frame at which each frame is shown, ascending.
        pts: the frames' presentation timestamps, in units of the stream; None where the file has
            none that are usable, so that frames can only be counted.
        keyframes: the numbers of the frames where decoding can start, ascending; 0 is the first.
        seek_times: where the container is sent for each of them, in units of the stream.
        height: of the frames, in pixels.
        width: likewise.
    """

    times: np.ndarray
    pts: tuple[int, ...] | None
    keyframes: tuple[int, ...]
    seek_times: tuple[int, ...]
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.times)

    def span(self, start: float | None, end: float | None) -> tuple[int, int]:
        """The frames [first, last) that are shown from ``start`` to before ``end``, in seconds.

        Never empty where ``start`` lies within the video: at least the frame shown at ``start``.
        """
        eps = 1e-3  # some containers round times to milliseconds
        first = 0
        if start is not None:
            first = max(0, int(np.searchsorted(self.times, start + eps, side="right")) - 1)
        last = len(self)
        if end is not None:
            last = int(np.searchsorted(self.times, end - eps, side="left"))
        return first, max(last, first + 1)


def index_video(path: str | os.PathLike[str]) -> VideoIndex:
    """Count a file's frames and find their times, without decoding (if it has timestamps).

    Raises:
        InputError: the file is missing, no video, or holds no frame.
    """
    stat = _stat(path)
    return _index(os.fspath(path), stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=65536)
def _index(path: str, size: int, mtime_ns: int) -> VideoIndex:
    with _opened(path) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        base = float(stream.time_base or 1 / rate)
        height, width = stream.height, stream.width
        pts: list[int | None] = []
        keys: dict[int, int] = {}
        for packet in _packets(container):
            if packet.size and not packet.is_discard:
                pts.append(packet.pts)
                if packet.is_keyframe and packet.pts is not None:
                    # containers count decoding times, which come before those of display
                    keys[packet.pts] = packet.pts if packet.dts is None else packet.dts
    known = sorted({p for p in pts if p is not None})
    if known and len(known) == len(pts):
        times = (np.asarray(known, dtype=np.float64) - known[0]) * base
        keys.setdefault(known[0], known[0])
        keyframes = tuple(bisect.bisect_left(known, key) for key in sorted(keys))
        seek_times = tuple(keys[key] for key in sorted(keys))
        return VideoIndex(times, tuple(known), keyframes, seek_times, height, width)
    with _opened(path) as container:
        count = sum(1 for _ in _decode(container))
    if not count:
        raise _undecodable(path)
    return VideoIndex(np.arange(count) / rate, None, (0,), (0,), height, width)


def read_frames(path: str | os.PathLike[str], indices: Sequence[int] | np.ndarray) -> np.ndarray:
    """Decode the frames with the given numbers, in the given order.

    Frames that the decoder does not deliver (a damaged end) are replaced by the last that it does.

    Args:
        path: a video file.
        indices: frame numbers in [0, len(index_video(path))), any order, repeats allowed.

    Returns:
        uint8 [len(indices), H, W, 3], RGB.

    Raises:
        InputError: the file is missing or damaged, or has no such frame.
    """
    index = index_video(path)
    wanted = sorted({int(i) for i in indices})
    if not wanted:
        raise ValueError("no frames were asked for")
    if wanted[0] < 0 or wanted[-1] >= len(index):
        raise InputError(
            f"{path}: no frame {wanted[-1] if wanted[0] >= 0 else wanted[0]}; "
            f"it has frames 0 to {len(index) - 1}"
        )
    reader = _Reader(os.fspath(path), index)
    try:
        frames = {number: reader.read(number) for number in wanted}
    finally:
        reader.close()
    return np.stack([frames[int(i)] for i in indices])


def write_video(path: Path, frames: Sequence[np.ndarray], *, fps: int) -> None:
    """Encode uint8 frames [H, W, 3]: H.264 for .mp4, MPEG-4 part 2 for .avi.

    The same frames give the same bytes: it is done on one thread and writes no dates.
    """
    h264 = path.suffix == ".mp4"
    height, width = frames[0].shape[:2]
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264" if h264 else "mpeg4", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        if h264:
            stream.options = {
                "preset": "veryfast", "tune": "fastdecode", "crf": "18", "bf": "0",
                "flags": "+bitexact", "x264-params": "threads=1:lookahead-threads=1",
            }  # fmt: skip
        else:
            stream.bit_rate = 1_500_000
            stream.options = {"qmin": "2", "qmax": "6", "g": "12", "flags": "+bitexact"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


class _Reader:
    """Decodes forwards, from a keyframe where that saves much.

    Frames are numbered by counting what the decoder delivers, which is in order of display; the
    timestamps of AVI files with packed B-frames (DivX and XviD, so UCF101's) are not.
    """

    def __init__(self, path: str, index: VideoIndex) -> None:
        self.path = path
        self.index = index
        self.to_rgb = VideoReformatter()
        self.frame: av.VideoFrame | None = None
        self._open()

    def _open(self) -> None:
        self.container = _opened(self.path)
        self.coming = enumerate(_decode(self.container))
        self.number = -1

    def close(self) -> None:
        self.container.close()

    def read(self, target: int) -> np.ndarray:
        """Frame ``target``, which may not lie before the last that was read: uint8 [H, W, 3]."""
        place = bisect.bisect_right(self.index.keyframes, target) - 1
        if self.index.keyframes[place] > self.number + SEEK_FRAMES:
            self._seek(place)
        while self.number < target:
            step = next(self.coming, None)
            if step is None:
                break
            self.number, self.frame = step
        if self.frame is None:
            raise _undecodable(self.path)
        return self.to_rgb.reformat(
            self.frame,
            width=self.index.width,
            height=self.index.height,
            format="rgb24",
            threads=1,  # starting more takes longer than the conversion
        ).to_ndarray()

    def _seek(self, place: int) -> None:
        """Go on at a keyframe; if the container does not lead there, from the beginning."""
        assert self.index.pts is not None
        key = self.index.keyframes[place]
        pts = self.index.pts[key]
        stream = self.container.streams.video[0]
        self.container.seek(self.index.seek_times[place], stream=stream)
        frames = _decode(self.container)
        for frame in frames:
            if frame.pts == pts:
                self.coming = enumerate(chain([frame], frames), start=key)
                return
            if frame.pts is None or frame.pts > pts:
                break
        self.close()
        self._open()


def _decode(container: InputContainer) -> Iterator[av.VideoFrame]:
    """All frames that can be decoded; damaged packets are passed over."""
    for packet in _packets(container):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue


def _packets(container: InputContainer) -> Iterator[av.Packet]:
    """The video's packets, until the end or until the file is too damaged to go on."""
    try:
        yield from container.demux(container.streams.video[0])
    except av.FFmpegError:
        return


def _undecodable(path: str) -> InputError:
    return InputError(f"{path}: no frame in it can be decoded; replace the file")


def _stat(path: str | os.PathLike[str]) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise InputError(f"{path}: no such video file ({error.strerror})") from error


def _opened(path: str | os.PathLike[str]) -> InputContainer:
    _stat(path)
    if Path(path).is_dir():
        raise InputError(f"{path}: is a directory, not a video file")
    try:
        container = av.open(os.fspath(path))
    except (av.FFmpegError, UnicodeError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a video ({error}); replace it") from error
    if not container.streams.video:
        container.close()
        raise InputError(f"{path}: has no video stream; replace it")
    stream: VideoStream = container.streams.video[0]
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1  # workers are the parallelism
    return container
