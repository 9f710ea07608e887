"""The structure of Matroska and WebM files, by which lost parts are seen (RFC 9559, RFC 8794)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from vitprune.data.source import Torn

EBML, SEGMENT, TRACKS, TRACK, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1654AE6B, 0xAE, 0x1F43B675
GROUP, BLOCK, SIMPLE_BLOCK = 0xA0, 0xA1, 0xA3
NUMBER, TYPE, CRC, VOID = 0xD7, 0x83, 0xBF, 0xEC
ENTERED = {SEGMENT, CLUSTER, GROUP, TRACKS, TRACK}
WITHIN: dict[int | None, set[int]] = {
    None: {EBML, SEGMENT, VOID},
    # info, index of heads, index of times, attachments, chapters, tags
    SEGMENT: {CLUSTER, TRACKS, 0x1549A966, 0x114D9B74, 0x1C53BB6B, 0x1941A469, 0x1043A770,
              0x1254C367, VOID, CRC},
    # time, place, size of the one before, silent tracks, encrypted block
    CLUSTER: {GROUP, SIMPLE_BLOCK, 0xE7, 0xA7, 0xAB, 0x5854, 0xAF, VOID, CRC},
    # additions, duration, priority, references, states, padding, slices, frames for reference
    GROUP: {BLOCK, 0x75A1, 0x9B, 0xFA, 0xFB, 0xFD, 0xA4, 0xA2, 0x75A2, 0x8E, 0xC8, VOID, CRC},
}  # fmt: skip
"""What may stand in an element and outside of all; what others hold is not looked at."""
AFTER = WITHIN[SEGMENT] - {VOID, CRC}
"""What ends a cluster of unknown size."""
VIDEO = 1
LACING = 0x06
STEP = 1 << 20
"""Bytes that are read at a time."""


class Element(NamedTuple):
    """Where an element's content lies in the file; ``end`` is None where that is not said."""

    identity: int
    begin: int
    end: int | None


def blocks_of_video(path: Path) -> int | None:
    """How many blocks hold pictures of the first video track; None if they cannot be counted.

    Raises:
        Torn: elements do not follow each other without a gap, there are some that the format does
            not have, blocks belong to no track, or clusters' checksums are wrong.
    """
    tracks: list[dict[int, int]] = []
    counts: dict[int, int] = {}
    laced = False
    with path.open("rb") as file:
        for identity, begin, end in _elements(file, path.stat().st_size):
            if identity == TRACK:
                tracks.append({})
            elif identity == CLUSTER and end is not None:
                _check_sum(file, begin, end)
            elif identity in (NUMBER, TYPE) and tracks and end is not None:
                file.seek(begin)
                tracks[-1][identity] = int.from_bytes(file.read(min(8, end - begin)), "big")
            elif identity in (BLOCK, SIMPLE_BLOCK) and end is not None:
                file.seek(begin)
                track, _, length = _variable(file)
                head = file.read(3)  # time and flags
                if len(head) < 3 or track not in (fields.get(NUMBER) for fields in tracks):
                    raise Torn
                laced |= bool(head[2] & LACING)
                counts[track] = counts.get(track, 0) + (end - begin > length + 3)
    first = next((fields.get(NUMBER) for fields in tracks if fields.get(TYPE) == VIDEO), None)
    return None if first is None or laced else counts.get(first, 0)


def _elements(file: BinaryIO, size: int) -> Iterator[Element]:
    """All elements of the first segment that are not within one that is not entered, in order."""
    around: list[Element] = []
    at = 0
    while at < size:
        while around and around[-1].end is not None and at >= around[-1].end:
            around.pop()
            if not around:
                return  # the segment is over
        file.seek(at)
        identity, _, one = _variable(file, marked=True)
        length, unknown, other = _variable(file)
        if around and around[-1] == (CLUSTER, around[-1].begin, None) and identity in AFTER:
            around.pop()
        if identity not in WITHIN.get(around[-1].identity if around else None, {identity}):
            raise Torn
        begin = at + one + other
        end = None if unknown else begin + length
        limit = min((outer.end for outer in around if outer.end is not None), default=None)
        if end is None:
            if identity not in (SEGMENT, CLUSTER):
                raise Torn
        elif end > (size if limit is None else limit):
            if limit is None and identity != SEGMENT:
                return  # the last one, of a file that was never finished
            raise Torn
        yield Element(identity, begin, end)
        if identity in ENTERED:
            around.append(Element(identity, begin, end))
            at = begin
        else:
            at = begin + length


def _check_sum(file: BinaryIO, begin: int, end: int) -> None:
    """Compare the checksum that an element begins with, if there is one, with its content."""
    file.seek(begin)
    head = file.read(6)
    if head[:2] != bytes((CRC, 0x84)):
        return
    found, left = 0, end - begin - 6
    while left > 0 and (content := file.read(min(STEP, left))):
        found = zlib.crc32(content, found)
        left -= len(content)
    if found != int.from_bytes(head[2:], "little"):
        raise Torn


def _variable(file: BinaryIO, *, marked: bool = False) -> tuple[int, bool, int]:
    """A number of variable length, whether it means unknown, and the bytes that it takes.

    Args:
        file: read from where it stands.
        marked: whether the bit that tells the length belongs to the number, as in identities.
    """
    first = file.read(1)
    if not first or not first[0]:
        raise Torn
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    if len(rest) < length - 1:
        raise Torn
    bits = (1 << 7 * length) - 1
    value = int.from_bytes(first + rest, "big")
    return value if marked else value & bits, value & bits == bits, length
