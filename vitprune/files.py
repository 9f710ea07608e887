"""Files that matter are written whole or not at all, and by one process at a time."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from filelock import FileLock

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
        show(temporary, 0o666)
        os.replace(temporary, path)
    except Exception as error:
        for cause in causes(error):
            if isinstance(cause, OSError) and cause.filename is None:
                cause.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def show(path: Path, mode: int) -> None:
    """Give a temporary file or directory the mode that a plain one would have been made with.

    Those of ``tempfile`` are their owner's alone, which would hide results from a team.
    """
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(mode & ~umask)


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files that a process killed within :func:`replacing` left behind."""
    for path in directory.glob(".*"):
        if path.is_file() and _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


class Lock(FileLock):
    """A lock on a file, which the system takes back from a process that dies.

    So it is never a file that is merely there, which a killed process would leave behind.

    Args:
        lock_file: its path.
        timeout: seconds to wait for another process; below 0 for as long as it takes.

    Raises:
        TimeoutError: another process holds it for longer than ``timeout``.
        OSError: it cannot be had, also as the file system has no locks.
    """

    def __init__(self, lock_file: str | Path, timeout: float = -1) -> None:
        super().__init__(lock_file, timeout, fallback_to_soft=False)

    def acquire(self, *args: Any, **options: Any) -> Any:
        """As filelock's, but for the error where there are no locks, which names the file."""
        try:
            return super().acquire(*args, **options)
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK), self.lock_file) from error


WHOLE = 1 << 20
"""Files of up to so many bytes are hashed whole."""


def content_digest(path: str | Path) -> str:
    """What a file, or a folder of frames, holds, whatever it is called: 32 hexadecimal digits.

    Of the whole content up to a MiB; of larger files the size and a quarter of a MiB each of the
    beginning, the middle and the end, which no two videos share. Of a folder the sizes of its
    files, in the order of their names, and the content of three of them. Remembered for as long as
    size and date stay.
    """
    return _content_digest(os.fspath(path), *state_of(path))


@lru_cache(maxsize=1 << 20)
def _content_digest(path: str, size: int, mtime_ns: int) -> str:
    if os.path.isdir(path):
        files = _files_in(path)
        digest = hashlib.blake2b(repr(_sizes(files)).encode(), digest_size=16)
        for place in sorted({0, len(files) // 2, len(files) - 1} if files else ()):
            digest.update(content_digest(files[place]).encode())
        return digest.hexdigest()
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with open(path, "rb") as file:
        if size <= WHOLE:
            digest.update(file.read())
        else:
            part = WHOLE // 4
            for start in (0, (size - part) // 2, size - part):
                file.seek(start)
                digest.update(file.read(part))
    return digest.hexdigest()


def state_of(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Size and date (ns) by which a change is seen: of a file, or of all files in a folder."""
    stat = os.stat(path)
    if not S_ISDIR(stat.st_mode):
        return stat.st_size, stat.st_mtime_ns
    stats = [os.stat(file) for file in _files_in(path)]
    return sum(s.st_size for s in stats), max(s.st_mtime_ns for s in (stat, *stats))


def content_size(path: str | Path) -> int:
    """The bytes of a file, or of all files in a folder of frames."""
    return sum(_sizes(_files_in(path))) if os.path.isdir(path) else os.stat(path).st_size


def _files_in(folder: str | os.PathLike[str]) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(e.path for e in entries if e.is_file() and not e.name.startswith("."))


def _sizes(files: Sequence[str]) -> list[int]:
    return [os.stat(file).st_size for file in files]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's whole content, remembered for as long as size and date stay."""
    return _file_digest(os.fspath(path), *state_of(path))


@lru_cache(maxsize=1024)
def _file_digest(path: str, size: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(root: str | Path) -> str:
    """A hash of the names, sizes and dates of all files below a dataset's directory.

    Taken once in a process: a job does not change its data.
    """
    return files_digest_of(str(Path(root).absolute()))


@lru_cache(maxsize=64)
def files_digest_of(root: str) -> str:
    """:func:`files_digest` of an absolute path."""
    digest = hashlib.sha256()
    for path in sorted(_files_below(root)):
        stat = path.stat()
        row = [path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns]
        digest.update(repr(row).encode())
    return digest.hexdigest()


def _files_below(root: str) -> Iterator[Path]:
    """All files, also those in linked folders, but for hidden ones and those in hidden folders."""
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            folders.clear()  # a link that leads back
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(folder, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.is_file())
