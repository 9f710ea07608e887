"""The frame that is asked for is the one that comes, whatever the codec and the way to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_videos import number_in, numbered, write_numbered, write_packed

from vitprune.data import index_video, read_frames
from vitprune.data.source import Damage
from vitprune.data.video import FileIndex, VideoFile, _Reading

COUNT = 40
NOWHERE = np.empty(0, np.int64)
TIMES = np.cumsum(np.random.default_rng(0).integers(10, 200, COUNT)).tolist()


def made(name: str, codec: str, **options: Any) -> tuple[str, Callable[[Path], Path]]:
    return name, lambda path: write_numbered(path, codec, COUNT, **options)


X265 = "keyint=12:min-keyint=12:bframes=3:open-gop=1:log-level=none:pools=none:frame-threads=1"
FILES = dict(
    [
        made("closed.mp4", "libx264", g="12", bf="3"),
        made("open.mp4", "libx264", g="12", bf="3", **{"x264-params": "open-gop=1"}),
        made("open.ts", "libx264", g="12", bf="3", **{"x264-params": "open-gop=1"}),
        made("varying.mkv", "libx264", g="12", bf="3", times=TIMES),
        made("ten_bit.mp4", "libx264", g="12", pix_fmt="yuv420p10le"),
        made("full_range.mkv", "libx264", g="12", pix_fmt="yuvj420p"),
        made("odd.mkv", "libx264", g="12", pix_fmt="yuv444p", size=(51, 67)),
        made("hevc.mp4", "libx265", **{"x265-params": X265}),
        made("vp9.webm", "libvpx-vp9", g="12", deadline="realtime", **{"cpu-used": "8"}),
        made("plain.avi", "mpeg4", g="12"),
        made("b_frames.avi", "mpeg4", g="12", bf="2"),
        ("packed.avi", lambda path: write_packed(path, COUNT)),
        made("pictures.avi", "mjpeg", pix_fmt="yuvj420p"),
        made("program.ts", "mpeg2video", g="6", bf="2"),
        made("bare.h264", "libx264", g="12", bf="2"),
    ]
)


@pytest.fixture(scope="module", params=FILES)
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FILES[request.param](tmp_path_factory.mktemp("numbered") / request.param)


def test_every_frame_is_the_one_that_was_asked_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = index_video(path)
    assert isinstance(index, FileIndex)
    assert len(index) == COUNT
    smaller = (index.height // 2, index.width // 2)
    through = read_frames(path, range(COUNT), smaller)
    assert [number_in(frame) for frame in through] == list(range(COUNT))
    rng = np.random.default_rng(1)
    for seek in (0, 8):
        monkeypatch.setattr("vitprune.data.video.SEEK_PACKETS", seek)
        for size in (1, 2, 5):
            wanted = np.sort(rng.choice(COUNT, size, replace=False))
            assert (read_frames(path, wanted[::-1], smaller) == through[wanted[::-1]]).all()
            by_container = replace(index, begins=NOWHERE, sizes=NOWHERE)
            frames = VideoFile(path).read(by_container, wanted.tolist(), smaller)
            assert (frames == through[wanted]).all()
    for number in (13, 14, 26, COUNT - 1):  # around keyframes, each alone
        assert number_in(read_frames(path, [number])[0]) == number


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    path = FILES["varying.mkv"](tmp_path / "varying.mkv")
    assert index_video(path).times == pytest.approx((np.asarray(TIMES) - TIMES[0]) / 1000)
    assert index_video(FILES["packed.avi"](tmp_path / "b.avi")).times == pytest.approx(
        np.arange(COUNT) / 20
    )


def test_colours_are_right_in_any_range_and_depth(tmp_path: Path) -> None:
    for name in ("closed.mp4", "ten_bit.mp4", "full_range.mkv", "odd.mkv", "pictures.avi"):
        path = FILES[name](tmp_path / name)
        frame = read_frames(path, [5])[0].astype(int)
        assert np.abs(frame - numbered(5, frame.shape[:2])).mean() < 6


@pytest.mark.parametrize(("matrix", "turns"), [((0, 1, -1, 0), -1), ((0, -1, 1, 0), 1)])
def test_a_file_that_is_to_be_turned_is(
    matrix: tuple[int, int, int, int], turns: int, tmp_path: Path
) -> None:
    path = FILES["closed.mp4"](tmp_path / "turned.mp4")
    content = bytearray(path.read_bytes())
    header = content.index(b"tkhd")
    at = header + 4 + 40  # behind version, dates, identity, duration, layer and volume
    a, b, c, d = matrix
    rows = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    content[at : at + 36] = b"".join(row.to_bytes(4, "big", signed=True) for row in rows)
    path.write_bytes(content)
    index = index_video(path)
    assert (index.height, index.width) == (64, 48)
    for size in ((64, 48), (32, 24)):
        frame = read_frames(path, [9], size)[0]
        assert frame.shape == (*size, 3)
        assert number_in(np.rot90(frame, -turns)) == 9


@pytest.mark.parametrize("name", ["plain.avi", "closed.mp4"])
def test_frames_of_a_damaged_file_are_right_or_damage(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path / name)
    content = bytearray(path.read_bytes())
    index = index_video(path)
    assert isinstance(index, FileIndex)
    assert index.known_by == "pos"
    begin = int(index.marks[20])
    content[begin : begin + 12] = bytes(12)
    path.write_bytes(content)
    assert len(index_video(path)) == COUNT
    damaged = outcomes(path)
    assert damaged
    assert set(damaged) <= set(range(15, 24))  # until the next keyframe
    with pytest.raises(Damage, match=rf"{name}: frame {damaged[0]} and .* more cannot be decoded"):
        read_frames(path, range(COUNT))


def outcomes(path: Path) -> list[int]:
    """The frames that a file cannot give; those that it gives are the ones asked for."""
    damaged = []
    for number in range(len(index_video(path))):
        try:
            assert number_in(read_frames(path, [number])[0]) == number
        except Damage:
            damaged.append(number)
    return damaged


@pytest.mark.parametrize("name", ["plain.avi", "b_frames.avi", "packed.avi"])
@pytest.mark.parametrize("place", [1, 6, 13, 31])
def test_a_file_that_has_lost_packets_is_refused(name: str, place: int, tmp_path: Path) -> None:
    path = FILES[name](tmp_path / name)
    content = bytearray(path.read_bytes())
    index = index_video(path)
    assert isinstance(index, FileIndex)
    begin, end = (int(index.marks[n]) - 8 for n in (place, place + 1))  # with the chunk's head
    content[begin:end] = bytes(end - begin)
    path.write_bytes(content)
    with pytest.raises(Damage, match=rf"{name}: 1 of the 40 frames in its index are not there"):
        index_video(path)
    del content[begin:end]
    path.write_bytes(content)
    with pytest.raises(Damage, match=rf"{name}: has \d+ of the \d+ bytes that it should have"):
        index_video(path)


@pytest.mark.parametrize("name", ["b_frames.avi", "packed.avi"])
def test_frames_are_refused_where_none_knows_their_places(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path / name)
    content = bytearray(path.read_bytes())
    index = index_video(path)
    assert isinstance(index, FileIndex)
    place = next(n for n in range(13, COUNT) if index.droppable[n])
    begin, end = (int(index.marks[n]) - 8 for n in (place, place + 1))
    content[begin + 8 : end] = bytes(end - begin - 8)  # the head stays
    path.write_bytes(content)
    with pytest.raises(Damage, match=rf"{name}: .* it cannot be told which frame is which"):
        index_video(path)


@pytest.mark.parametrize("name", ["b_frames.avi", "varying.mkv"])
def test_a_file_cut_short_is_refused(name: str, tmp_path: Path) -> None:
    path = FILES[name](tmp_path / name)
    content = path.read_bytes()
    path.write_bytes(content[:-900])  # within the frames
    with pytest.raises(Damage, match=rf"{name}: has \d+ of the {len(content)} bytes"):
        index_video(path)


@pytest.mark.parametrize("name", ["varying.mkv", "vp9.webm", "open.ts", "program.ts"])
@pytest.mark.parametrize("seed", range(12))
def test_no_other_frames_come_of_what_has_lost_parts(name: str, seed: int, tmp_path: Path) -> None:
    path = FILES[name](tmp_path / name)
    content = bytearray(path.read_bytes())
    rng = np.random.default_rng(seed)
    unit = 188 if name.endswith("ts") else 1
    begin = int(rng.integers(len(content) // 20, len(content) * 9 // 10)) // unit * unit
    kind = seed % 3
    if kind == 0:
        content[begin : begin + 600] = bytes(600)
    elif kind == 1:
        del content[begin : begin + int(rng.integers(1, 5)) * unit]
    else:
        content[begin:begin] = content[begin : begin + 3 * 188]
    path.write_bytes(content)
    try:
        assert len(index_video(path)) == COUNT
    except Damage:
        return
    outcomes(path)


def test_matroska_of_unknown_size_is_read(tmp_path: Path) -> None:
    path = FILES["varying.mkv"](tmp_path / "live.mkv")
    content = path.read_bytes()
    for head in (b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"):  # the segment and its clusters
        assert content.count(head) > 0
        parts = content.split(head)
        for number, part in enumerate(parts[1:], 1):
            length = 9 - part[0].bit_length()
            unknown = ((1 << 7 * length + 1) - 1).to_bytes(length, "big")
            parts[number] = unknown + part[length:]
        content = head.join(parts)
    path.write_bytes(content)
    assert len(index_video(path)) == COUNT
    assert not outcomes(path)
    path.write_bytes(content + content[:4])  # something that stands there in no file
    with pytest.raises(Damage, match="it cannot be told which frame is which"):
        index_video(path)


def test_a_stream_of_an_unknown_codec_is_refused(tmp_path: Path) -> None:
    path = FILES["closed.mp4"](tmp_path / "unknown.mp4")
    path.write_bytes(path.read_bytes().replace(b"avc1", b"what").replace(b"avcC", b"what"))
    with pytest.raises(Damage, match="has no video that can be decoded"):
        index_video(path)


def test_seeking_to_an_open_group_of_pictures_needs_no_second_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitprune.data.video.SEEK_PACKETS", 0)
    passes = []
    run = _Reading.run
    monkeypatch.setattr(_Reading, "run", lambda self, **how: (passes.append(how), run(self, **how)))
    for name in ("open.mp4", "open.ts", "hevc.mp4"):
        path = FILES[name](tmp_path / name)
        keys = index_video(path).keyframes.tolist()
        assert len(keys) > 2
        for number in (keys[1], keys[1] + 5, keys[2] + 1):
            assert number_in(read_frames(path, [number])[0]) == number
    assert passes
    assert not any(passes)
