"""The one exception for what a user can put right, and any other said in one line."""

from __future__ import annotations

import errno
from collections.abc import Iterator


class InputError(Exception):
    """Something the user gave is wrong.

    The message is one line: what is wrong, where, and what would be right. The commands print it
    and exit with status 2, without a traceback.
    """


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those that it was raised from, or while handling which it was raised."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def in_one_line(error: BaseException) -> str:
    """An exception in one line, and what to do where that is known."""
    if isinstance(error, InputError):
        return str(error)
    full = disk_full(error)
    if full is not None:
        return full
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def disk_full(error: BaseException) -> str | None:
    """One line if a full disk is behind ``error``, however wrapped, else None."""
    for cause in causes(error):
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" for {cause.filename}" if cause.filename else ""
            return f"no space left on the disk{where}; free some and run the same command again"
    return None
