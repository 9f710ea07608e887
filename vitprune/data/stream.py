"""A video file's stream as FFmpeg opens it: its packets, and its decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vitprune.data.source import Damage
from vitprune.errors import InputError


def opened(path: Path) -> InputContainer:
    """A file whose first video stream can be decoded, on one thread.

    Raises:
        InputError: there is no such file.
        Damage: it is none that FFmpeg reads, or has no such stream.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a directory, not a video file")
    try:
        container = av.open(str(path))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such video file") from error
    except (av.FFmpegError, UnicodeError, ValueError) as error:
        raise Damage(f"{path}: cannot be read as a video ({error}); replace it") from error
    if not container.streams.video:
        container.close()
        raise Damage(f"{path}: has no video stream; replace it")
    stream: VideoStream = container.streams.video[0]
    if stream.codec_context is None:
        container.close()
        raise Damage(f"{path}: has no video that can be decoded; replace it")
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1  # workers are the parallelism
    return container


def packets_of(container: InputContainer) -> Iterator[Packet]:
    """The video's packets, until the end or until the file is too damaged to go on."""
    try:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:
                yield packet
    except av.FFmpegError:
        return


def decoded(packet: Packet) -> list[VideoFrame]:
    """The frames that a packet completes; none if it is damaged."""
    try:
        return packet.decode()
    except av.FFmpegError:
        return []


def drained(context: VideoCodecContext) -> list[VideoFrame]:
    """What a decoder has held back for frames that come before in display."""
    try:
        return context.decode(None)
    except av.FFmpegError:
        return []


def taking_apart(container: InputContainer, *, packed: bool) -> Callable[[Packet], list[Packet]]:
    """What gives one packet for each picture, of packets that hold two and then none if ``packed``.

    It raises av.FFmpegError for a packet that is damaged.
    """
    if not packed:
        return lambda packet: [packet]
    return BitStreamFilterContext("mpeg4_unpack_bframes", container.streams.video[0]).filter
