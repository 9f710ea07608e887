"""The one exception for what a user can put right, and any other said in one line."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Iterator
from functools import wraps
from typing import NoReturn, ParamSpec

BAD_INPUT = 2
"""Exit status of a command whose input was wrong."""
FAILED = 1
"""Exit status of a command that failed for another reason."""

Arguments = ParamSpec("Arguments")


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


def exit_with(message: object, status: int = BAD_INPUT) -> NoReturn:
    """Print one line and exit with ``status``."""
    print(f"error: {message}", file=sys.stderr)
    sys.exit(status)


def exit_on_bad_input(main: Callable[Arguments, None]) -> Callable[Arguments, None]:
    """Let a command that is not Hydra's end with the same one line and status."""

    @wraps(main)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        try:
            main(*args, **kwargs)
        except InputError as error:
            exit_with(error)

    return wrapped
