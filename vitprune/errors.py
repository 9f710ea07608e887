"""The one exception for what a user can put right, and the way to what lies behind another."""

from __future__ import annotations

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
