"""A video file's stream as FFmpeg opens it: its packets, and its decoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vitprune.data.source import Damage
from vitprune.errors import InputError

UNSEEN = {"codec_whitelist": "none", "probesize": "32"}
"""Options by which FFmpeg opens a file without decoding some of it to see what is in it."""
UNORDERED = {"strict": "strict"}
"""Options of a decoder of H.264 that is not told how far pictures are out of order.

Where the stream does not say so, they are held back for as long as its level allows.
"""


def opened(path: Path, head: str = "") -> InputContainer:
    """A file whose first video stream can be decoded, on one thread.

    Args:
        path: of the file.
        head: its format, if it is one of H.264 whose head says all that the decoder has to know;
            then nothing else is read here.

    Raises:
        InputError: there is no such file.
        Damage: it is none that FFmpeg reads, or has no such stream.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a directory, not a video file")
    try:
        if head:
            container = av.open(str(path), format=head, container_options=UNSEEN)
        else:
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
    if head:
        stream.codec_context.options = UNORDERED
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


class Decoder:
    """The stream's decoder. Packets that hold two pictures are taken apart before."""

    def __init__(self, container: InputContainer, *, packed: bool = False) -> None:
        stream = container.streams.video[0]
        self.context = stream.codec_context
        self.unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream) if packed else None

    def decode(self, packet: Packet) -> list[VideoFrame]:
        """The frames that a packet completes.

        Raises:
            av.FFmpegError: it is damaged.
        """
        if self.unpack is None:
            return packet.decode()
        return [frame for part in self.unpack.filter(packet) for frame in self.context.decode(part)]

    def drain(self) -> list[VideoFrame]:
        """What was held back for frames that come before in display."""
        try:
            parts = self.unpack.filter(None) if self.unpack else []
            frames = [frame for part in parts for frame in self.context.decode(part)]
            return frames + self.context.decode(None)
        except av.FFmpegError:
            return []
