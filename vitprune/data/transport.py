"""The packets of MPEG transport streams, by which lost parts are seen (ISO/IEC 13818-1)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vitprune.data.source import Torn

SIZE, SYNC = 188, 0x47
START = (0, 0, 1)
VIDEO = range(0xE0, 0xF0), range(0xFD, 0xFE)
"""Kinds of streams that pictures are in: MPEG's own and extended ones."""
AT_ONCE = 1 << 16
"""Packets."""


def pictures(path: Path, identity: int) -> int | None:
    """How many units of pictures a stream has; None if packets are not those of 188 bytes.

    Args:
        path: of a transport stream.
        identity: of the stream's packets (PID).

    Raises:
        Torn: what begins no packet stands where one should begin, or a unit has no head.
    """
    count, before = 0, -1
    with path.open("rb") as file:
        if not _regular(file.read(3 * SIZE)):
            return None
        file.seek(0)
        while content := file.read(AT_ONCE * SIZE):
            whole = len(content) // SIZE  # a part of the last packet is as good as none
            rows = np.frombuffer(content[: whole * SIZE], np.uint8).reshape(whole, SIZE)
            if (rows[:, 0] != SYNC).any():
                raise Torn
            rows = rows[((rows[:, 1] & 0x1F).astype(int) << 8 | rows[:, 2]) == identity]
            before = _continued(rows, before)
            count += _units(rows)
    return count


def _regular(head: bytes) -> bool:
    return len(head) == 3 * SIZE and all(head[place] == SYNC for place in range(0, 3 * SIZE, SIZE))


def _continued(rows: np.ndarray, before: int) -> int:
    """The last packet's number, of four bits; they must ascend, or be said to begin anew."""
    filled = rows[(rows[:, 3] & 0x10) > 0]
    if not len(filled):
        return before
    numbers = (filled[:, 3] & 0x0F).astype(int)
    steps = np.diff(numbers, prepend=numbers[0] - 1 if before < 0 else before) % 16
    anew = (filled[:, 3] & 0x20 > 0) & (filled[:, 4] > 0) & (filled[:, 5] & 0x80 > 0)
    if ((steps > 1) & ~anew).any():  # a packet may come twice
        raise Torn
    return int(numbers[-1])


def _units(rows: np.ndarray) -> int:
    """How many units begin; each with its head."""
    rows = rows[(rows[:, 1] & 0x40) > 0]
    begins = 4 + np.where(rows[:, 3] & 0x20, 1 + rows[:, 4].astype(int), 0)
    if (begins > SIZE - 4).any():
        raise Torn
    heads = rows[np.arange(len(rows))[:, None], begins[:, None] + np.arange(4)]
    kinds = np.isin(heads[:, 3], [kind for span in VIDEO for kind in span])
    if (heads[:, :3] != START).any() or not kinds.all():
        raise Torn
    return len(rows)
