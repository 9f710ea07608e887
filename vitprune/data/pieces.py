"""Packets whose bytes lie in one piece in their file: read and decoded without FFmpeg's demuxer.

The index of a file says where the bytes of each packet are, and what a decoder has to know besides.
So only the packets that are needed are read, and neither the file's head nor its own index is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import BinaryIO, NamedTuple

import numpy as np
from av.codec.context import CodecContext
from av.packet import Packet, PktSideDataT
from av.video.codeccontext import VideoCodecContext

DECODERS = {"h264", "hevc", "mpeg4", "mjpeg", "mpeg1video", "mpeg2video", "vp8", "vp9"}
"""Those to which a container says nothing but what is in :class:`Coding`."""
CHANGES: tuple[PktSideDataT, ...] = ("new_extradata", "param_change", "palette")
"""What a container may hand over beside a packet's bytes that changes how they are decoded."""
NEAR = 64
"""Bytes behind the place that FFmpeg says of a packet within which its content begins."""
PACKED = 2
"""MPEG-4 pictures that a packet holds at most."""
EMPTY_PICTURE = 19
"""Bytes that an MPEG-4 picture takes at most which says that there is none."""
UNORDERED = {"strict": "strict"}
"""Options of a decoder of H.264 that is not told how far pictures are out of order.

Where the stream does not say so, they are held back for as long as its level allows.
"""


class Coding(NamedTuple):
    """What a decoder has to know beside packets.

    Attributes:
        name: of the decoder.
        tag: four characters by which a container names the codec; some encoders are known by it.
        extradata: parameters that are not in packets, in hexadecimal digits.
        color_range: FFmpeg's number of it.
        colorspace: likewise.
    """

    name: str
    tag: str
    extradata: str
    color_range: int
    colorspace: int

    @classmethod
    def of(cls, context: VideoCodecContext) -> Coding | None:
        """That of an opened stream; None if its container tells a decoder more than this."""
        try:
            tag = context.codec_tag
        except UnicodeDecodeError:
            return None
        if context.name not in DECODERS:
            return None
        extradata = (context.extradata or b"").hex()
        return cls(context.name, tag, extradata, context.color_range, context.colorspace)

    def context(self) -> VideoCodecContext:
        """A decoder, on one thread."""
        context = CodecContext.create(self.name, "r")
        assert isinstance(context, VideoCodecContext)
        context.thread_count = 1  # workers are the parallelism
        context.codec_tag = self.tag
        context.extradata = bytes.fromhex(self.extradata) or None
        context.color_range, context.colorspace = self.color_range, self.colorspace
        if self.name == "h264":
            context.options = UNORDERED
        return context


class Finder:
    """Finds the bytes of packets in their file.

    Of a packet that holds two pictures the second belongs to the next packet, whose own belongs to
    the one after it, until a packet says that there is none: as in FFmpeg's mpeg4_unpack_bframes.

    Args:
        file: that the packets come from.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._found: list[tuple[int, int]] = []
        self._owed: list[tuple[int, int]] = []  # pictures that came before their packet
        self._lost = False

    def add(self, packet: Packet, content: bytes, pictures: Sequence[int]) -> None:
        """The next packet of the file, its bytes, and where in them MPEG-4 pictures begin."""
        self._lost = self._lost or not self._add(packet, content, pictures)

    @property
    def pieces(self) -> tuple[np.ndarray, np.ndarray]:
        """Begins and sizes of what each packet is decoded from; int64 [packets] each.

        Both are empty if the bytes of a packet were not found.
        """
        found = np.array([] if self._lost else self._found, dtype=np.int64).reshape(-1, 2)
        return found[:, 0], found[:, 1]

    def _add(self, packet: Packet, content: bytes, pictures: Sequence[int]) -> bool:
        if packet.is_corrupt or packet.pos is None or any(map(packet.has_sidedata, CHANGES)):
            return False
        self._file.seek(packet.pos)
        at = self._file.read(NEAR + len(content)).find(content)
        begin, size = packet.pos + at, len(content)
        late = bool(self._owed)
        if at < 0 or len(pictures) > (1 if late else PACKED):
            return False
        cuts = [0, *pictures[1:], size]
        self._owed += ((begin + a, b - a) for a, b in pairwise(cuts))
        self._found.append(self._owed.pop(0))
        if late and size <= EMPTY_PICTURE:
            self._owed.clear()
        return True


def read_pieces(
    file: BinaryIO, begins: np.ndarray, sizes: np.ndarray, places: Iterable[int]
) -> Iterator[tuple[int, Packet]]:
    """Packets with their places in the order of decoding.

    Args:
        file: that they lie in.
        begins: see :attr:`Finder.pieces`.
        sizes: likewise.
        places: which ones.
    """
    for place in places:
        try:
            file.seek(begins[place])
            content = file.read(sizes[place])
        except OSError:
            return
        packet = Packet(int(sizes[place]))
        if len(content) < packet.size:
            return
        packet.update(content)  # one made of bytes lacks the zeros behind them that decoders need
        packet.pts = place  # the decoder hands it on to the frame
        yield place, packet
