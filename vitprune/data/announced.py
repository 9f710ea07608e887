"""How long a file says that it is, by which one that has lost a part is known."""

from __future__ import annotations

from pathlib import Path

HEAD = 4096
"""Bytes of a file that are looked at."""
EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
UNFINISHED = (0, 2**32 - 1)
"""What stands in an AVI that was never finished."""


def announced_size(path: Path) -> int | None:
    """The bytes that the head of an AVI, WebM or Matroska file counts; None if it does not say."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head[:4] == b"RIFF":
        size = int.from_bytes(head[4:8], "little")
        return None if size in UNFINISHED else 8 + size
    if head[:4] == EBML:
        at, size = _variable(head, 4)
        at += size
        if head[at : at + 4] == SEGMENT:
            begin, size = _variable(head, at + 4)
            unknown = (1 << 7 * (begin - at - 4)) - 1  # all ones, as in a live stream
            return None if size == unknown else begin + size
    return None


def _variable(head: bytes, at: int) -> tuple[int, int]:
    """Where a number of EBML's variable length ends, and its value (RFC 8794, 4)."""
    first = head[at] if at < len(head) else 0
    length = 9 - first.bit_length()
    value = int.from_bytes(head[at : at + length], "big") & ((1 << 7 * length) - 1)
    return at + length, value
