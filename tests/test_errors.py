"""Errors in one line each."""

import errno
import os

from vitprune.errors import InputError, disk_full, in_one_line


def test_errors_are_one_line() -> None:
    assert in_one_line(InputError("k is wrong")) == "k is wrong"
    assert in_one_line(RuntimeError("shapes\nand more")) == "RuntimeError: shapes"
    assert in_one_line(KeyError()) == "KeyError"


def test_a_full_disk_is_recognised_behind_other_errors() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.ckpt")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904  (as torch.save does)
    except RuntimeError as error:
        line = in_one_line(error)
    assert line.startswith("no space left on the disk for a.ckpt;")
    assert disk_full(OSError(errno.EACCES, "denied")) is None
