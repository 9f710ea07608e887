"""Files that are there whole or not at all."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from vitprune.files import content_digest, remove_leftovers, replacing


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


def test_the_digest_is_of_the_whole_content_and_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x" * 3_000_000)
    assert content_digest(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", None)  # it is not read again
        assert content_digest(str(path)) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    path.write_bytes(b"y" * 3_000_000)
    os.utime(path, ns=(0, 0))
    assert content_digest(path) == hashlib.sha256(b"y" * 3_000_000).hexdigest()
    with pytest.raises(FileNotFoundError):
        content_digest(tmp_path / "gone")
