"""The stand-ins: what they hold, that they are rendered once and always the same."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import av
import pytest

from vitprune.data import DAIDataModule, UCF101DataModule, read_boxes
from vitprune.demo import StandIn, driving, playing
from vitprune.demo.car import CarScene
from vitprune.demo.field import FieldScene
from vitprune.demo.layouts import Layout
from vitprune.demo.stand_in import STAMP
from vitprune.errors import InputError

FRAMES = 10
SIZES = {"train": 4, "val": 2, "test": 2}
"""Of the small stand-ins of the session."""


def tiny(layout: Layout = "dai", seed: int = 0) -> StandIn:
    return StandIn(layout, {"train": 1, "val": 1, "test": 1}, frames=2, seed=seed)


def hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_stand_in_of_dai(dai_module: Callable[..., DAIDataModule]) -> None:
    module = dai_module()
    assert module.class_names == list(driving.ACTIONS)
    assert module.num_classes >= 8
    people: list[set[str]] = []
    for name, per_class in SIZES.items():
        clips = module.splits[name].clips
        assert Counter(c.label for c in clips) == dict.fromkeys(
            range(module.num_classes), per_class
        )
        people.append({clip.group for clip in clips})
    assert not people[0] & people[1]
    assert not (people[0] | people[1]) & people[2]


def test_the_stand_in_of_ucf101(ucf101_module: Callable[..., UCF101DataModule]) -> None:
    tested = set()
    for split in (1, 2, 3):
        module = ucf101_module(split=split)
        assert module.class_names == list(playing.ACTIONS)
        sizes = {name: len(part) // module.num_classes for name, part in module.splits.items()}
        assert sizes == {"train": 4, "val": 2, "test": 2}
        tested.add(module.splits["test"].clips[0].group)
    assert len(tested) == 3


@pytest.mark.parametrize(
    ("name", "codec", "size"),
    [("demo_dai", "h264", (160, 120)), ("demo_ucf101", "mpeg4", (320, 240))],
)
def test_the_files_are_real_videos(
    stand_ins: Path, name: str, codec: str, size: tuple[int, int]
) -> None:
    suffix = ".avi" if codec == "mpeg4" else ".mp4"
    path = next(p for p in sorted((stand_ins / name).rglob(f"*{suffix}")))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == codec
        assert (stream.width, stream.height) == size
        assert sum(1 for _ in container.decode(stream)) == FRAMES


@pytest.mark.parametrize("layout", ["dai", "ucf101"])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, layout: Layout) -> None:
    tiny(layout)(tmp_path / "a", workers=1)
    tiny(layout)(tmp_path / "b", workers=2)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert tiny(layout, seed=1)(tmp_path / "b")
    first, second = hashes(tmp_path / "a"), hashes(tmp_path / "b")
    videos = [name for name in first if name.endswith((".mp4", ".avi"))]
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in videos)


def test_jobs_that_start_together_render_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def slow(stand_in: StandIn, root: Path, workers: int) -> None:
        calls.append(root)

    monkeypatch.setattr(StandIn, "_render", slow)
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: tiny()(tmp_path / "data"), range(8)))
    assert sorted(done) == [False] * 7 + [True]
    assert len(calls) == 1
    assert json.loads((tmp_path / "data" / STAMP).read_text())["seed"] == 0


def test_a_rendering_that_was_cut_off_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(stand_in: StandIn, root: Path, workers: int) -> None:
        (root / "half").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StandIn, "_render", fails)
        with pytest.raises(KeyboardInterrupt):
            tiny()(tmp_path / "data")
    assert not (tmp_path / "data").exists()
    assert tiny()(tmp_path / "data")
    assert not (tmp_path / "data" / "half").exists()
    assert not list(tmp_path.glob(".*partial"))


def test_other_peoples_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    with pytest.raises(InputError, match=r"holds files that are no stand-in.*dataset\.root"):
        tiny()(tmp_path)
    assert (tmp_path / "videos").is_dir()


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"videos_per_class": {"train": 1}}, "it takes train, val and test, each at least 1"),
        ({"videos_per_class": {"train": 1, "val": 0, "test": 1}}, "each at least 1"),
        ({"frames": 0}, r"dataset\.demo\.frames is 0; it must be at least 1"),
        ({"layout": "imax"}, r"dataset\.demo\.layout is 'imax'; it takes dai, ucf101"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], line: str) -> None:
    good = {"layout": "dai", "videos_per_class": {"train": 1, "val": 1, "test": 1}}
    with pytest.raises(InputError, match=line):
        StandIn(**{**good, **options})


def test_prepare_data_renders_on_first_use(tmp_path: Path) -> None:
    module = DAIDataModule(
        root=tmp_path / "demo",
        num_frames=2,
        image_size=16,
        demo=tiny(),
    )
    with pytest.raises(InputError, match=r"prepare_data\(\)"):
        module.setup()
    module.prepare_data()
    module.setup()
    stamp = (tmp_path / "demo" / STAMP).stat().st_mtime_ns
    module.prepare_data()
    assert (tmp_path / "demo" / STAMP).stat().st_mtime_ns == stamp


@pytest.mark.parametrize("name", ["demo_dai", "demo_ucf101"])
def test_boxes_lie_inside_the_frame(stand_ins: Path, name: str) -> None:
    boxes = read_boxes(stand_ins / name)
    videos = {p for p in (stand_ins / name).rglob("*") if p.suffix in (".mp4", ".avi")}
    assert set(boxes) == videos
    width, height = (CarScene if name == "demo_dai" else FieldScene).size
    for frames in boxes.values():
        assert sorted(frames) == list(range(FRAMES))
        for seen in frames.values():
            assert {"head", "hand_left", "hand_right"} <= seen.keys()
            for x0, y0, x1, y1 in seen.values():
                assert 0 <= x0 < x1 <= width
                assert 0 <= y0 < y1 <= height


def test_boxes_csv_has_the_documented_columns(stand_ins: Path) -> None:
    with (stand_ins / "demo_dai" / "boxes.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["video", "frame", "label", "x0", "y0", "x1", "y1"]
