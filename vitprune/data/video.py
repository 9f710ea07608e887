"""Frames out of video files, only those that are asked for, with PyAV.

Which packets give the frames that are wanted is known from the file's index. Decoding starts at the
last keyframe before them, pictures that no other refers to are skipped, and those that are wanted
become RGB of the size that is wanted in one step of swscale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

from vitprune.data.packets import FileIndex, index_of, placed
from vitprune.data.pieces import read_pieces
from vitprune.data.source import Damage, VideoIndex
from vitprune.data.stream import drained, opened, packets_of, taking_apart

SEEK_PACKETS = 8
"""Packets that need not be decoded from which on a seek is worth its cost."""
SCALING = Interpolation.AREA


@dataclass(frozen=True)
class VideoFile:
    """A file that FFmpeg reads. See :class:`~vitprune.data.source.Source`."""

    path: Path

    def index(self) -> FileIndex:
        """Read the packets; they are decoded, too, where nothing tells when a frame is shown."""
        return index_of(self.path)

    def read(self, index: VideoIndex, numbers: Sequence[int], size: tuple[int, int]) -> np.ndarray:
        """Decode frames; those that seeking and skipping do not lead to, from the beginning.

        What the decoder says it has patched up, and what refers to that, counts as damage.
        """
        assert isinstance(index, FileIndex)
        frames = np.empty((len(numbers), *size, 3), np.uint8)
        missing = dict(zip(numbers, frames, strict=True))
        if len(index.begins):
            with self._file() as file:
                _Reading(_Pieces(file, index), index, missing).run()
        else:
            with opened(self.path) as container:
                _Reading(_Demuxed(container, index), index, missing).run()
        if missing:
            with opened(self.path) as container:
                _Reading(_Demuxed(container, index), index, missing).run(through=True)
        if not missing:
            return frames
        first, *rest = missing
        more = f" and {len(rest)} more" if rest else ""
        raise Damage(f"{self.path}: frame {first}{more} cannot be decoded; replace the file")

    def _file(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise Damage(f"{self.path}: cannot be read ({error.strerror}); replace it") from error


class _Packets(Protocol):
    """A file's packets, and their decoder."""

    context: VideoCodecContext
    seekable: bool

    def begin(self, first: int, unwanted: Callable[[int], bool]) -> Iterator[tuple[int, Packet]]:
        """Packets from one on, or from some before it, with their places; none if that fails.

        Those of unwanted places are left out. Each has its place for its time of display, which
        the decoder hands on to the frame.
        """
        ...


class _Pieces:
    """By where the index says that they lie."""

    seekable = True

    def __init__(self, file: BinaryIO, index: FileIndex) -> None:
        assert index.coding is not None
        self.file, self.index = file, index
        self.context = index.coding.context()

    def begin(self, first: int, unwanted: Callable[[int], bool]) -> Iterator[tuple[int, Packet]]:
        if self.context.is_open:
            self.context.flush_buffers()
        begins, sizes = self.index.begins, self.index.sizes
        places = (place for place in range(first, len(begins)) if not unwanted(place))
        yield from read_pieces(self.file, begins, sizes, places)


class _Demuxed:
    """By FFmpeg's demuxer."""

    def __init__(self, container: InputContainer, index: FileIndex) -> None:
        self.container, self.index = container, index
        self.stream = container.streams.video[0]
        self.context = self.stream.codec_context
        self.seekable = bool(index.known_by)

    def begin(self, first: int, unwanted: Callable[[int], bool]) -> Iterator[tuple[int, Packet]]:
        parts = taking_apart(self.container, packed=self.index.packed)
        for place, packet in self._from(first):
            packet.pts = place
            try:
                pictures = parts(packet)
            except av.FFmpegError:
                continue
            yield from ((place, part) for part in pictures if not unwanted(place))

    def _from(self, first: int) -> Iterator[tuple[int, Packet]]:
        known = self.index.known_by, self.index.marks
        if not first:
            yield from placed(packets_of(self.container), *known)
            return
        key = int(np.searchsorted(self.index.keyframes, self.index.numbers[first]))
        try:
            self.container.seek(int(self.index.seek_times[key]), stream=self.stream)
        except av.FFmpegError:
            return
        coming = placed(packets_of(self.container), *known, first)
        for place, packet in coming:
            if place <= first:  # otherwise it did not lead there
                yield place, packet
                yield from coming
            return


class _Reading:
    """Goes through a file once and takes the frames that are missing out of it."""

    def __init__(self, packets: _Packets, index: FileIndex, missing: dict[int, np.ndarray]) -> None:
        self.packets = packets
        self.index = index
        self.missing = missing
        self.scaler = VideoReformatter()
        self._hurt: list[int] = []  # packets that were damaged
        self._delivered: set[int] = set()  # packets whose frames came

    def run(self, *, through: bool = False) -> None:
        """Take what can be had.

        Args:
            through: decode everything, from the beginning; otherwise seek, and skip pictures.
        """
        if through:
            last = max(int(self.index.packets[n]) for n in self.missing)
            self._go_through(0, last, lambda place: False)
            return
        for first, last in self._stretches():
            self._go_through(first, last, self._unwanted)

    def _unwanted(self, place: int) -> bool:
        """Whether a packet's picture is neither missing nor referred to by others."""
        return (
            place < len(self.index.droppable)
            and bool(self.index.droppable[place])
            and int(self.index.numbers[place]) not in self.missing
        )

    def _stretches(self) -> list[tuple[int, int]]:
        """Packets [first, last], those to be gone through without a seek."""
        stretches: list[tuple[int, int]] = [(0, -1)]
        for number in self.missing:
            first, last = self.index.needed(number)
            begin, end = stretches[-1]
            if first <= end + SEEK_PACKETS or not self.packets.seekable:
                stretches[-1] = (begin, max(end, last))
            else:
                stretches.append((first, last))
        return [stretch for stretch in stretches if stretch[1] >= 0]

    def _go_through(self, first: int, last: int, unwanted: Callable[[int], bool]) -> None:
        context, before = self.packets.context, first - 1
        owed: list[int] = []  # packets that must give a frame
        for place, packet in self.packets.begin(first, unwanted):
            if place >= len(self.index.numbers):
                break
            if self.index.numbers[place] >= 0:
                owed.append(place)
            self._hurt += (lost for lost in range(before + 1, place) if not unwanted(lost))
            before = place
            if packet.is_corrupt:
                self._hurt.append(place)
            try:
                for frame in context.decode(packet):
                    self._take(frame)
            except av.FFmpegError:
                self._hurt.append(place)
            if place >= last:
                break
        for frame in drained(context):
            self._take(frame)
        self._hurt += [place for place in owed if place not in self._delivered]
        for number in [*self.missing]:
            begin, end = self.index.needed(number)
            if end in self._delivered and not any(
                begin <= hurt <= end and not self._leads(hurt, begin) for hurt in self._hurt
            ):
                del self.missing[number]

    def _leads(self, place: int, key: int) -> bool:
        """Whether a packet's frame is shown before a keyframe's; none after that refers to it."""
        return 0 <= self.index.numbers[place] < self.index.numbers[key]

    def _take(self, frame: VideoFrame) -> None:
        place = frame.pts
        if place is None or not 0 <= place < len(self.index.numbers):
            return
        self._delivered.add(place)
        if frame.is_corrupt:
            self._hurt.append(place)
        number = int(self.index.numbers[place])
        if number in self.missing:
            self._scale(frame, self.missing[number])

    def _scale(self, frame: VideoFrame, into: np.ndarray) -> None:
        """Write a frame as RGB of the size, and turned as it is to be shown."""
        turned = np.rot90(into, -self.index.rotation)  # a view that lies as the frame does
        height, width = turned.shape[:2]
        rgb = self.scaler.reformat(
            frame, width=width, height=height, format="rgb24", interpolation=SCALING,
            threads=1,  # starting more takes longer than the conversion
        )  # fmt: skip
        turned[...] = rgb.to_ndarray()
