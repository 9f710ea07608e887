"""Files are read without their containers, and nothing of what is read changes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import av
import pytest
from made_up_videos import decode_all, number_in, write_numbered, write_packed

from vitprune.data import index_video, read_frames
from vitprune.data.index_store import IndexStore
from vitprune.data.packets import FileIndex
from vitprune.data.pieces import Finder
from vitprune.data.video import VideoFile, _Reading

COUNT = 40


def without_vui(parameters: bytes) -> bytes:
    """H.264's parameters of a sequence, of the same length, that do not tell how it is ordered."""
    bits = "".join(f"{byte:08b}" for byte in parameters)
    place = 8 + 24  # behind the unit's head, profile and level

    def number() -> int:
        """One of variable length (ITU-T H.264, 9.1)."""
        nonlocal place
        zeros = bits.index("1", place) - place
        place += 2 * zeros + 1
        return int(bits[place - zeros - 1 : place], 2) - 1

    number()
    if parameters[1] >= 100:  # a high profile: colours, depths and scaling
        _, _, _ = number(), number(), number()
        place += 2
    number()
    assert number() == 0  # the kind of order
    _, _ = number(), number()
    place += 1
    _, _ = number(), number()
    assert bits[place] == "1"  # no fields
    place += 2
    if bits[place] == "1":  # cropped
        place += 1
        _ = [number() for _ in range(4)]
    else:
        place += 1
    assert bits[place] == "1"  # more is told
    kept = bits[:place] + "01"
    return int(kept.ljust(len(bits), "0"), 2).to_bytes(len(parameters), "big")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_frames_come_at_once_where_nothing_tells_their_order(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_numbered(tmp_path / name, "libx264", COUNT, g="20", bf="3")
    with av.open(str(path)) as container:
        extradata = container.streams.video[0].codec_context.extradata
    assert extradata is not None
    parameters = extradata[8 : 8 + int.from_bytes(extradata[6:8], "big")]
    content = path.read_bytes()
    assert parameters in content
    path.write_bytes(content.replace(parameters, without_vui(parameters)))
    passes = []
    run = _Reading.run
    monkeypatch.setattr(_Reading, "run", lambda self, **how: (passes.append(how), run(self, **how)))
    index = index_video(path)
    assert isinstance(index, FileIndex)
    assert len(index.begins) == COUNT
    assert [number_in(frame) for frame in read_frames(path, range(COUNT))] == list(range(COUNT))
    for number in (0, 7, 23, COUNT - 1):
        assert number_in(read_frames(path, [number])[0]) == number
    assert passes
    assert not any(passes)


DIRECT = [
    "a.mp4",
    "a.avi",
    "a.mkv",
    "packed.avi",
    "hevc.mp4",
    "part2.mp4",
    "pictures.avi",
    "bare.h264",
]


def written(name: str, path: Path) -> Path:
    if name == "packed.avi":
        return write_packed(path, COUNT)
    if name == "pictures.avi":
        return write_numbered(path, "mjpeg", COUNT, pix_fmt="yuvj420p")
    codecs = {"a.avi": "mpeg4", "part2.mp4": "mpeg4", "hevc.mp4": "libx265", "a.ts": "mpeg2video"}
    options = {"x265-params": "log-level=none:pools=none:frame-threads=1"} if "hevc" in name else {}
    return write_numbered(path, codecs.get(name, "libx264"), COUNT, g="12", bf="2", **options)


@pytest.mark.parametrize("name", DIRECT)
def test_files_are_read_without_their_container(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(name, tmp_path / name)
    store = IndexStore(tmp_path / "index")
    index = index_video(path, store)
    assert isinstance(index, FileIndex)
    assert len(index.begins) == len(index.numbers)
    state = path.stat().st_size, path.stat().st_mtime_ns
    kept = store.get(str(path), *state)  # as another process has it
    assert isinstance(kept, FileIndex)
    assert kept.coding == index.coding
    full = decode_all(path)
    monkeypatch.setattr("vitprune.data.video.opened", None)
    monkeypatch.setattr("vitprune.data.video.SEEK_PACKETS", 0)
    for wanted in ([COUNT - 1], [3, 4, 17, 38], range(COUNT)):
        frames = VideoFile(path).read(kept, wanted, (kept.height, kept.width))
        assert (frames == full[wanted]).all()


def test_the_container_is_asked_where_packets_are_in_several_pieces(tmp_path: Path) -> None:
    path = written("a.ts", tmp_path / "a.ts")
    index = index_video(path)
    assert isinstance(index, FileIndex)
    assert not len(index.begins)
    assert [number_in(frame) for frame in read_frames(path, range(COUNT))] == list(range(COUNT))


class Listed:
    """A packet as a demuxer gives it."""

    is_corrupt = False

    def __init__(self, pos: int | None) -> None:
        self.pos = pos

    def has_sidedata(self, kind: str) -> bool:
        return False


def pieces(content: bytes, *listed: tuple[bytes, int | None, list[int]]) -> list[bytes]:
    finder = Finder(BytesIO(content))
    for packet, pos, pictures in listed:
        finder.add(Listed(pos), packet, pictures)  # type: ignore[arg-type]
    return [content[at : at + size] for at, size in zip(*finder.pieces, strict=True)]


def test_a_second_picture_belongs_to_the_packet_that_says_there_is_none() -> None:
    more = b"a picture of its own, larger"
    content = b"..one-two....none.." + more + bytes(64)
    known = (b"one-two", 0, [0, 4]), (b"none", 11, [0]), (more, 19, [0])
    assert pieces(content, *known) == [b"one-", b"two", more]
    late = (b"one-two", 0, [0, 4]), (more, 19, [0]), (b"none", 11, [0])
    assert pieces(content, *late) == [b"one-", b"two", more]
    assert pieces(content, *late[:2], (b"one-two", 0, [0, 4])) == []  # a picture without a packet


@pytest.mark.parametrize(
    "bad",
    [(b"else", 4, [0]), (b"here", 4, [0, 1, 2]), (b"here", None, [0])],
    ids=["other bytes", "three pictures", "nowhere"],
)
def test_no_piece_is_known_if_one_is_not(bad: tuple[bytes, int | None, list[int]]) -> None:
    good = (b"here", 0, [0])
    assert pieces(b"herehere", good) == [b"here"]
    assert pieces(b"herehere", good, bad) == []
