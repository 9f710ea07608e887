"""The one exception for what a user can put right."""


class InputError(Exception):
    """Something the user gave is wrong.

    The message is one line: what is wrong, where, and what would be right. The commands print it
    and exit with status 2, without a traceback.
    """
