"""Reads what an offline W&B run has written: the records in its ``.wandb`` file.

The file is a LevelDB log: after a header of 7 bytes, blocks of 32 KiB with chunks, each of which
begins with its checksum (4 bytes), length (2) and kind (1: whole record, 2, 3, 4: first, further
and last part of one).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEAD = 32768, struct.Struct("<IHB")


def records(path: Path) -> Iterator[Any]:
    """The records in order."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, parts = 7, b""
    while at + HEAD.size <= len(data):
        if BLOCK - at % BLOCK < HEAD.size:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = HEAD.unpack_from(data, at)
        at += HEAD.size
        parts += data[at : at + length]
        at += length
        if kind in (1, 4):
            yield Record.FromString(parts)
            parts = b""
