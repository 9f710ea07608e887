"""Which pictures no other picture refers to, read off the heads of packets."""

from __future__ import annotations

HEAD = 4096
"""Bytes of a packet that are looked at."""
START = b"\x00\x00\x01"
MPEG4_PICTURE = START + b"\xb6"
"""What begins each of the pictures that an MPEG-4 packet holds."""
MPEG2_PICTURE = START + b"\x00"


def droppable(codec: str, head: bytes, extradata: bytes) -> bool:
    """Whether a picture may be left out without a change to any other.

    For H.264 by nal_ref_idc (ITU-T H.264, 7.4.1), for MPEG-4 part 2 and MPEG-2 if it is a
    B-picture. Not said of other codecs: what no other picture of its layer refers to may be
    referred to from HEVC's other layers.

    Args:
        codec: FFmpeg's name of it.
        head: how the packet begins.
        extradata: of the stream; in MP4 and Matroska it says how units of H.264 are told apart.
    """
    if codec == "h264":
        return _unreferred(head, extradata)
    if codec == "mpeg4":
        return _bits(head, MPEG4_PICTURE, 0, 6) == 2
    if codec in ("mpeg1video", "mpeg2video"):
        return _bits(head, MPEG2_PICTURE, 1, 3) & 7 == 3
    return False


def refers(head: bytes) -> bool:
    """Whether an MPEG-4 picture refers to others, whatever the container says of it."""
    return _bits(head, MPEG4_PICTURE, 0, 6) != 0


def pictures_in(content: bytes) -> list[int]:
    """Where in a packet MPEG-4 pictures begin."""
    found, at = [], content.find(MPEG4_PICTURE)
    while at >= 0:
        found.append(at)
        at = content.find(MPEG4_PICTURE, at + len(MPEG4_PICTURE))
    return found


def _bits(head: bytes, start: bytes, place: int, shift: int) -> int:
    """A byte after a start code, without its lowest bits; 0 if there is none."""
    at = head.find(start)
    after = head[at + len(start) + place : at + len(start) + place + 1]
    return after[0] >> shift if at >= 0 and after else 0


def _unreferred(head: bytes, extradata: bytes) -> bool:
    """Whether the first slice says that its picture is not referred to."""
    if extradata[:1] == b"\x01":  # units come after their lengths
        length, at = (extradata[4] & 3) + 1 if len(extradata) > 4 else 4, 0
        while at + length < len(head):
            unit = head[at + length]
            if 1 <= unit & 31 <= 5:
                return unit & 0x60 == 0
            size = int.from_bytes(head[at : at + length], "big")
            at += length + max(size, 1)
        return False
    at = head.find(START)
    while 0 <= at < len(head) - 3:
        unit = head[at + 3]
        if 1 <= unit & 31 <= 5:
            return unit & 0x60 == 0
        at = head.find(START, at + 3)
    return False
