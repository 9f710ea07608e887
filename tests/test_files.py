"""Files that are there whole or not at all."""

import errno
from pathlib import Path

import pytest

from vitprune.files import remove_leftovers, replacing


def test_nothing_is_left_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        write()
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    with replacing(tmp_path / "pruned.ckpt") as temporary:
        temporary.write_text("half")
        leftover = temporary.rename(temporary.with_name(temporary.name[:-6] + "x.ckpt"))
        temporary.touch()
    kept = [tmp_path / ".lock", tmp_path / "pruned.ckpt"]
    kept[0].touch()
    (tmp_path / ".hydra").mkdir()
    assert leftover.is_file()
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([*kept, tmp_path / ".hydra"])
