from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_up_videos import decode_all, make_video

from vitprune.data import index_video, read_frames
from vitprune.errors import InputError

REAL = ["test.avi", "arm_wrestling.mp4", "asl/milk.mkv", "asl/yes.mkv", "asl/book.mkv"]


def moving(count: int) -> list[np.ndarray]:
    """Frames that all differ, and that depend on one another once they are encoded."""
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 200, (12, 16, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    return [np.roll(texture, 2 * i, axis=1) + np.uint8(i // 2) for i in range(count)]


def encode(path: Path, codec: str, count: int, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(20), options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in moving(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(
    scope="module",
    params=[
        ("x.mp4", "libx264", {"g": "7", "bf": "3"}),
        ("open.mp4", "libx264", {"g": "7", "bf": "2", "x264-params": "open-gop=1"}),
        ("x.mkv", "libx264", {"g": "250"}),
        ("x.avi", "mpeg4", {"g": "9"}),
        ("b.avi", "mpeg4", {"g": "9", "bf": "2"}),
        ("x.ts", "mpeg2video", {"g": "6"}),
        ("bare.h264", "libx264", {"g": "9"}),  # no timestamps at all
    ],
    ids=lambda param: param[0],
)
def encoded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name, codec, options = request.param
    return encode(tmp_path_factory.mktemp("videos") / name, codec, 60, **options)


@pytest.mark.parametrize("seek", [2, 10_000], ids=["seeking", "decoding through"])
def test_frames_equal_those_of_a_full_decode(
    encoded: Path, seek: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitprune.data.video.SEEK_PACKETS", seek)
    full = decode_all(encoded)
    assert len(index_video(encoded)) == len(full) == 60
    rng = np.random.default_rng(1)
    for size in (1, 2, 8):
        for _ in range(4):
            indices = rng.integers(0, 60, size)
            assert (read_frames(encoded, indices) == full[indices]).all()


decoded_once = cache(decode_all)


@settings(deadline=None, max_examples=20, suppress_health_check=list(HealthCheck))
@given(data=st.data(), name=st.sampled_from(REAL), seek=st.sampled_from([4, 48]))
def test_real_footage_equals_a_full_decode(
    data: st.DataObject, name: str, seek: int, clips: Path
) -> None:
    path = clips / name
    full = decoded_once(path)
    assert len(index_video(path)) == len(full)
    indices = data.draw(st.lists(st.integers(0, len(full) - 1), min_size=1, max_size=6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitprune.data.video.SEEK_PACKETS", seek)
        assert (read_frames(path, indices) == full[indices]).all()


def test_seconds_become_frames(tmp_path: Path) -> None:
    index = index_video(make_video(tmp_path / "a.mp4", 20))  # 10 frames per second
    assert index.span(None, None) == (0, 20)
    assert index.span(0.5, 1.0) == (5, 10)
    assert index.span(0.55, None) == (5, 20)
    assert index.span(None, 99.0) == (0, 20)
    assert index.span(0.51, 0.52) == (5, 6)
    assert (index.height, index.width) == (48, 64)


@pytest.mark.parametrize("content", [b"", b"no video at all" * 100], ids=["empty", "text"])
def test_what_is_no_video_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.mp4"):
        read_frames(path, [0])


def test_a_missing_file_and_a_frame_out_of_range_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.mp4"):
        index_video(tmp_path / "nowhere.mp4")
    path = make_video(tmp_path / "a.mp4", 6)
    with pytest.raises(InputError, match="frames 0 to 5"):
        read_frames(path, [6])
