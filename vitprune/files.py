"""Files that matter are written whole or not at all; and what a file's content is."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from vitprune.errors import causes

_TEMPORARY = re.compile(r"\..+-[a-z0-9_]{8}(\..+)?")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its name when the block ends well.

    The temporary name keeps ``path``'s ending, as some writers choose the format by it. When the
    block raises, ``path`` stays as it was and nothing is left behind; an error of the system that
    names no file, as when a disk is full, then names ``path``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}-", suffix="".join(path.suffixes)
    )
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's 0600 would hide results from a team
        os.replace(temporary, path)
    except Exception as error:
        for cause in causes(error):
            if isinstance(cause, OSError) and cause.filename is None:
                cause.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files that a process killed within :func:`replacing` left behind."""
    for path in directory.glob(".*"):
        if path.is_file() and _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def content_digest(path: str | Path) -> str:
    """SHA-256 of all that a file holds, hexadecimal.

    A file is read once in a process, and again if its size or date changes.

    Raises:
        OSError: the file is not there or cannot be read.
    """
    path = Path(path).absolute()
    stat = path.stat()
    return _digest(path, stat.st_size, stat.st_mtime_ns)


@cache
def _digest(path: Path, size: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
