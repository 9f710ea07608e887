"""What the packets of a video file are, and which frame each is decoded to: the file's index.

A frame is known by the packet that it is decoded from. A file's index is made of its packets,
without decoding them, since what containers say of lengths and times is often missing or wrong;
so frames that are wanted are known before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream

from vitprune.data.announced import announced_size
from vitprune.data.droppable import HEAD, droppable, pictures_in, refers
from vitprune.data.matroska import blocks_of_video
from vitprune.data.pieces import EMPTY_PICTURE, Coding, Finder
from vitprune.data.source import Damage, Torn, VideoIndex
from vitprune.data.stream import decoded, drained, opened, packets_of, taking_apart
from vitprune.data.transport import pictures

MOST_REORDERED = 32
"""By how many places display and decoding order can differ; H.264 and HEVC allow 16 pictures."""
WITHOUT_TIMES = {"avi", "h264", "hevc", "m4v", "mpegvideo", "vc1", "obu", "ivf"}
"""Formats of files that hold no times of display; what is made up for them is often wrong."""
PROGRESSIVE = (0, 1)
"""Field orders of streams in which a packet is a picture: unknown, progressive."""
NO_PIECES = np.empty(0, np.int64), np.empty(0, np.int64)
AVI_CHUNK = 8
"""Bytes of a chunk's head, at which AVI's index points; packets begin behind it."""


@dataclass(frozen=True)
class FileIndex(VideoIndex):
    """What is known of a file: also of its packets, which are counted in the order of decoding.

    Attributes:
        numbers: of the frame that each packet is decoded to, -1 for none; int32 [packets].
        packets: that each frame is decoded from; int32 [frames].
        marks: by which packets are known again after a seek; int64 [packets].
        known_by: which attribute of a packet that is; empty if there is none.
        seek_times: where the container is sent for each keyframe, in units of the stream.
        droppable: whether no other picture refers to that of a packet; bool [packets].
        packed: whether packets hold two pictures and then none, as DivX writes B-frames.
        rotation: quarter turns counterclockwise by which frames are turned to be shown.
        begins: the byte of the file at which begins what each packet is decoded from; int64
            [packets], or [0] if packets do not lie there in one piece.
        sizes: how many bytes that are, likewise.
        coding: what a decoder has to know besides; None if only the container can tell it.
    """

    numbers: np.ndarray
    packets: np.ndarray
    marks: np.ndarray
    known_by: str
    seek_times: np.ndarray
    droppable: np.ndarray
    packed: bool
    rotation: int
    begins: np.ndarray
    sizes: np.ndarray
    coding: Coding | None

    def needed(self, number: int) -> tuple[int, int]:
        """The packets [first, last] to be decoded for a frame, the first being a keyframe's."""
        last = int(self.packets[number])
        place = int(np.searchsorted(self.keyframes, number, side="right")) - 1
        while place > 0 and self.packets[self.keyframes[place]] > last:
            place -= 1
        return int(self.packets[self.keyframes[place]]), last


def index_of(path: Path) -> FileIndex:
    """Read a file's packets; they are decoded, too, where nothing tells when a frame is shown.

    Raises:
        InputError: there is no such file.
        Damage: it cannot be read, or cannot be told of it which frame is which.
    """
    with opened(path) as container, path.open("rb") as file:
        size, announced = path.stat().st_size, announced_size(path)
        if announced is not None and announced > size + 1:  # the last byte may be padding
            raise Damage(
                f"{path}: has {size} of the {announced} bytes that it should have; replace the file"
            )
        stream = container.streams.video[0]
        named = _named(stream)
        finder = Finder(file)
        packets, shown = _listed(container, path, finder)
        if shown is None:
            raise _undecodable(path)
        if len(packets) < _held(stream, path):
            raise _uncertain(path)
        if lost := len(named - {packet.pos for packet in packets}):
            raise Damage(
                f"{path}: {lost} of the {len(named)} frames in its index are not there; "
                "replace the file"
            )
        ordered = _in_order_of_display(container, packets)
        base = float(stream.time_base or 0)
        rate = float(stream.average_rate or stream.guessed_rate or 25)
        intervals = container.format.name.startswith("matroska")
        coding = Coding.of(stream.codec_context)
    if ordered is None:
        with opened(path) as container:
            ordered, b_frames = _in_order_of_decoder(container, packets, path)
        if any(packet.packed for packet in packets):
            packets = [
                packet._replace(droppable=place in b_frames) for place, packet in enumerate(packets)
            ]
    if max(ordered) < 0:
        raise _undecodable(path)
    pieces = finder.pieces if coding else NO_PIECES
    return _index(packets, np.asarray(ordered), shown, base, rate, pieces, coding, by_pts=intervals)


def placed(
    coming: Iterable[Packet], known_by: str, marks: np.ndarray, place: int = 0
) -> Iterator[tuple[int, Packet]]:
    """Packets with their places in the file's order; without marks they are counted."""
    for packet in coming:
        if known_by:
            mark = getattr(packet, known_by)
            if mark is None:
                continue
            if place >= len(marks) or marks[place] != mark:
                (same,) = np.nonzero(marks == mark)
                if len(same) != 1:
                    continue  # one that was not there when the index was made
                place = int(same[0])
        yield place, packet
        place += 1


class _Packet(NamedTuple):
    """What is kept of a packet."""

    pts: int | None
    dts: int | None
    pos: int | None
    key: bool
    shown: bool = True
    droppable: bool = False
    packed: bool = False
    owed: bool = False


def _listed(
    container: InputContainer, path: Path, finder: Finder
) -> tuple[list[_Packet], VideoFrame | None]:
    """All packets, which the finder is shown, and the first frame that can be decoded.

    Raises:
        Damage: a packet lacks a part, so that others may be lost beside it. The last may.
    """
    packets: list[_Packet] = []
    first: VideoFrame | None = None
    context = container.streams.video[0].codec_context
    mpeg4, extradata = context.name == "mpeg4", context.extradata or b""
    packed = cut = False
    for packet in packets_of(container):
        if cut:
            raise _uncertain(path)
        cut = packet.is_corrupt
        content = bytes(packet)
        head = content[:HEAD]
        owed = mpeg4 and (packed or packet.size > EMPTY_PICTURE)
        pictures = pictures_in(content) if mpeg4 else []
        packed = len(pictures) > 1
        finder.add(packet, content, pictures)
        packets.append(
            _Packet(
                packet.pts,
                packet.dts,
                packet.pos,
                key=packet.is_keyframe and not (mpeg4 and refers(head)),
                shown=not packet.is_discard,
                droppable=droppable(context.name, head, extradata),
                packed=packed,
                owed=owed,
            )
        )
        if first is None:
            first = next(iter(decoded(packet)), None)
    if first is None:
        first = next(iter(drained(context)), None)
    return packets, first


def _named(stream: VideoStream) -> set[int]:
    """Where the index of a file that was just opened says that packets are.

    Only of AVI and MP4, as other containers' indexes are not of packets.
    """
    name = stream.container.format.name
    if name != "avi" and "mp4" not in name:
        return set()
    head = AVI_CHUNK if name == "avi" else 0
    return {entry.pos + head for entry in stream.index_entries if entry.size}


def _held(stream: VideoStream, path: Path) -> int:
    """How many packets a Matroska file or a transport stream holds by its structure, at least.

    Raises:
        Damage: the structure itself is damaged.
    """
    name = stream.container.format.name
    try:
        if name.startswith("matroska"):
            return blocks_of_video(path) or 0
        if name == "mpegts":
            units = pictures(path, stream.id) or 0
            # Each of the two fields of a picture may be a unit of its own.
            return units if stream.codec_context.field_order in PROGRESSIVE else 0
    except Torn as error:
        raise _uncertain(path) from error
    return 0


def _in_order_of_display(container: InputContainer, packets: list[_Packet]) -> list[int] | None:
    """The frame's number of each packet by its time of display; None if they cannot be trusted."""
    stream = container.streams.video[0]
    context = stream.codec_context
    untimed = container.format.name in WITHOUT_TIMES and not context.codec.intra_only
    if untimed or context.field_order not in PROGRESSIVE or context.name == "vp8":
        return None
    times = [packet.pts for packet in packets]
    if None in times or len(set(times)) < len(times) or not times:
        return None
    order = np.argsort(np.asarray(times, dtype=np.int64))
    if np.abs(order - np.arange(len(order))).max() > MOST_REORDERED:
        return None
    # What comes before the first keyframe, or is shown before it, refers to what is not there.
    begin = next((i for i, packet in enumerate(packets) if packet.key), 0)
    start = packets[begin].pts
    numbers = [-1] * len(packets)
    count = 0
    for i in order.tolist():
        if packets[i].shown and i >= begin and packets[i].pts >= start:
            numbers[i] = count
            count += 1
    return numbers


def _in_order_of_decoder(
    container: InputContainer, packets: list[_Packet], path: Path
) -> tuple[list[int], set[int]]:
    """The frame's number of each packet by the order in which the decoder delivers frames.

    And the packets that B-frames are decoded from.

    A packet that is lost, that the decoder refuses, or of which nothing comes though it holds a
    picture, has a number all the same, for a frame that cannot be had.

    Raises:
        Damage: there is such a packet, and frames are not shown in the order of packets, so that
            nobody knows between which ones its frame belongs.
    """
    found: list[int] = []
    b_frames: set[int] = set()
    context = container.streams.video[0].codec_context
    parts = taking_apart(container, packed=any(packet.packed for packet in packets))
    lost = set(range(len(packets)))

    def take(frames: list[VideoFrame]) -> None:
        for frame in frames:
            if frame.pts is not None:
                found.append(frame.pts)
                if frame.pict_type == PictureType.B:
                    b_frames.add(frame.pts)

    for place, packet in placed(packets_of(container), *_marks(packets)):
        packet.pts = place
        try:
            for part in parts(packet):
                take(context.decode(part))
        except av.FFmpegError:
            continue
        if not (packets[place].owed or packets[place].droppable):
            lost.discard(place)  # it may be empty, or hidden
    take(drained(context))
    lost.difference_update(found)
    shown = [place for place in dict.fromkeys(found) if 0 <= place < len(packets)]
    if lost:
        if shown != sorted(shown):
            raise _uncertain(path)
        shown = sorted(lost.union(shown))
    numbers = [-1] * len(packets)
    for number, place in enumerate(shown):
        numbers[place] = number
    return numbers, b_frames


def _index(
    packets: list[_Packet],
    numbers: np.ndarray,
    first: VideoFrame,
    base: float,
    rate: float,
    pieces: tuple[np.ndarray, np.ndarray],
    coding: Coding | None,
    *,
    by_pts: bool,
) -> FileIndex:
    count = int(numbers.max()) + 1
    of_frame = np.empty(count, np.int32)
    shown = np.flatnonzero(numbers >= 0)
    of_frame[numbers[shown]] = shown
    times = _times([packets[i] for i in of_frame], base)
    if times is None:
        times = np.arange(count) / rate
    keys = sorted({0, *(int(numbers[i]) for i in shown if packets[i].key)})
    seek_times = [_seek_time(packets[of_frame[key]], by_pts) for key in keys]
    known_by, marks = _marks(packets)
    rotation = round(first.rotation / 90) % 4
    height, width = first.height, first.width
    if rotation % 2:
        height, width = width, height
    return FileIndex(
        times=times,
        keyframes=np.asarray(keys, dtype=np.int32),
        height=height,
        width=width,
        numbers=numbers.astype(np.int32),
        packets=of_frame,
        marks=marks,
        known_by=known_by,
        seek_times=np.asarray(seek_times, dtype=np.int64),
        droppable=np.asarray([packet.droppable for packet in packets]),
        packed=any(packet.packed for packet in packets),
        rotation=rotation,
        begins=pieces[0],
        sizes=pieces[1],
        coding=coding,
    )


def _times(packets: list[_Packet], base: float) -> np.ndarray | None:
    """Seconds from the first at which frames are shown; of files without such, by decoding times.

    Those are as far apart, but in the order of decoding.
    """
    for kind in ("pts", "dts"):
        known = [getattr(packet, kind) for packet in packets]
        if None not in known and base:
            times = np.sort(np.asarray(known, dtype=np.int64))
            if kind == "dts" or (times == np.asarray(known)).all():
                return (times - times[0]) * base
    return None


def _seek_time(packet: _Packet, by_pts: bool) -> int:
    # Matroska's index has times of display, those of others times of decoding.
    first, second = (packet.pts, packet.dts) if by_pts else (packet.dts, packet.pts)
    return next((time for time in (first, second) if time is not None), 0)


def _marks(packets: list[_Packet]) -> tuple[str, np.ndarray]:
    for kind in ("pos", "dts", "pts"):
        marks = [getattr(packet, kind) for packet in packets]
        if None not in marks and len(set(marks)) == len(marks):
            return kind, np.asarray(marks, dtype=np.int64)
    return "", np.empty(0, np.int64)


def _undecodable(path: Path) -> Damage:
    return Damage(f"{path}: no frame in it can be decoded; replace the file")


def _uncertain(path: Path) -> Damage:
    return Damage(
        f"{path}: parts of it are lost or damaged, so that it cannot be told which frame is which; "
        "replace the file"
    )
