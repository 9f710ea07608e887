"""Files that are there whole or not at all."""

import errno
import fcntl
import hashlib
import os
from pathlib import Path

import pytest

from vitprune.data.clip_store import ClipStore
from vitprune.files import (
    Lock,
    content_digest,
    file_digest,
    files_digest,
    files_digest_of,
    remove_leftovers,
    replacing,
)


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


def test_a_file_goes_by_what_it_holds(tmp_path: Path) -> None:
    one, same = tmp_path / "a.mp4", tmp_path / "b.mp4"
    for size in (1_000, 3_000_000):
        content = bytearray(i % 251 for i in range(size))
        one.write_bytes(content)
        same.write_bytes(content)
        assert content_digest(one) == content_digest(str(same))
        for place in (0, size // 2, size - 1):
            content[place] ^= 1
            one.write_bytes(content)
            os.utime(one, ns=(0, place))
            assert content_digest(one) != content_digest(same)
            content[place] ^= 1
        one.write_bytes(content[:-1])
        assert content_digest(one) != content_digest(same)
    with pytest.raises(FileNotFoundError):
        content_digest(tmp_path / "gone")


def test_a_checkpoint_is_hashed_whole_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"x" * 3_000_000)
    expected = hashlib.sha256(b"x" * 3_000_000).hexdigest()
    assert file_digest(path) == expected
    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", None)  # it is not read again
        assert file_digest(path) == expected


def test_files_in_linked_folders_count(tmp_path: Path) -> None:
    root, disk = tmp_path / "root", tmp_path / "disk"
    root.mkdir()
    disk.mkdir()
    (disk / "v.mp4").write_bytes(b"frames")
    (root / "videos").symlink_to(disk)
    (disk / "back").symlink_to(root)  # leads in a circle
    before = files_digest(root)
    (disk / "v.mp4").write_bytes(b"other frames")
    files_digest_of.cache_clear()
    assert files_digest(root) != before


def test_a_file_system_without_locks_is_an_error_of_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    with Lock(tmp_path / "held.lock"), pytest.raises(TimeoutError):
        Lock(tmp_path / "held.lock").acquire(timeout=0)
    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match=r"held\.lock") as caught, Lock(tmp_path / "held.lock"):
        pass
    assert caught.value.errno == errno.ENOLCK
    store = ClipStore(tmp_path / "clips", gigabytes=1.0)
    assert store.split("a", [[1, 2]], (1, 2, 2, 3), "a split") is None  # decoded, not kept
