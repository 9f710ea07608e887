"""Opening a file without a look at its packets changes nothing of what is read."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from made_up_videos import make_video, number_in, write_numbered

from vitprune.data import index_video, read_frames
from vitprune.data.packets import FileIndex
from vitprune.data.video import _Reading

COUNT = 40


def heads(path: Path) -> str:
    index = index_video(path)
    assert isinstance(index, FileIndex)
    return index.head


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
    monkeypatch.setattr(
        _Reading, "run", lambda self, *, direct: (passes.append(direct), run(self, direct=direct))
    )
    assert heads(path)
    assert [number_in(frame) for frame in read_frames(path, range(COUNT))] == list(range(COUNT))
    for number in (0, 7, 23, COUNT - 1):
        assert number_in(read_frames(path, [number])[0]) == number
    assert set(passes) == {True}


def test_only_heads_that_say_all_are_enough(tmp_path: Path) -> None:
    assert heads(make_video(tmp_path / "a.mp4", 6)) == "mov"
    assert heads(make_video(tmp_path / "a.avi", 6)) == ""
    for name, codec in (("b.ts", "libx264"), ("b.h264", "libx264"), ("b.mp4", "mpeg4")):
        assert heads(write_numbered(tmp_path / name, codec, 6)) == ""
