"""What a look at a whole dataset finds."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from made_up_layouts import write_frames, write_hmdb51, write_three_mdad
from made_up_videos import make_video

from vitprune.data import DAIDataModule, HMDB51DataModule, ThreeMDADDataModule
from vitprune.data.survey import Survey, survey


def look(kind: type, root: Path, **options: object) -> Survey:
    return survey(kind(root=root, num_frames=1, image_size=32, on_error="skip"), **options)  # type: ignore[arg-type]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sound dataset: two classes, two subjects in training and one in each other split."""
    (tmp_path / "annotations").mkdir()
    for number, split in enumerate(("train", "val", "test")):
        rows = ["video,label,start,end,subject"]
        for i in range(2 if split == "train" else 1):
            name = f"{split}{i}.mp4"
            make_video(tmp_path / "videos" / name, 20 + number, mark=3 * number + i)
            rows += [f"{name},eat,0,1,{split}{i}", f"{name},drink,1,,{split}{i}"]
        (tmp_path / "annotations" / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def add(root: Path, split: str, *rows: str) -> None:
    path = root / "annotations" / f"{split}.csv"
    path.write_text(path.read_text() + "".join(f"{row}\n" for row in rows))


def test_a_sound_dataset(root: Path) -> None:
    found = look(DAIDataModule, root)
    assert found.wrong == 0
    assert not found.findings
    assert found.class_names == ["drink", "eat"]
    assert found.counts == {"train": [2, 2], "val": [1, 1], "test": [1, 1]}
    train = found.splits["train"]
    assert (train["clips"], train["files"], train["subjects"]) == (4, 2, 2)
    assert train["seconds"] == [1.0, 1.0, 1.0]
    assert train["rates"] == {"10": 2}
    assert train["sizes"] == {"64x48": 2}
    assert {name: picture.shape for name, picture in found.thumbnails.items()} == {
        "drink": (48, 64, 3), "eat": (48, 64, 3),
    }  # fmt: skip


def with_damage(root: Path) -> None:
    path = root / "videos" / "val0.mp4"
    content = bytearray(path.read_bytes())
    name = content.index(b"mdat")
    size = int.from_bytes(content[name - 4 : name])
    content[name + 4 + size // 2 : name - 4 + size] = bytes(size // 2 - 8)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("spoil", "kind", "line"),
    [
        (
            lambda r: (r / "videos" / "val0.mp4").write_bytes(b"no"),
            "unreadable",
            "val0.mp4: cannot",
        ),
        (with_damage, "damage", "val0.mp4"),
        (lambda r: add(r, "test", "gone.mp4,eat,,,"), "annotation", "line 4: no file 'gone.mp4'"),
        (lambda r: add(r, "test", "test0.mp4,eat,2,1,"), "annotation", "line 4: end 1 s is not"),
        (lambda r: add(r, "test", "test0.mp4,eat,9,,"), "span", "begins behind the video's end"),
        (lambda r: add(r, "test", "test0.mp4,eat,1,9,"), "span", "ends behind the video's end"),
        (lambda r: add(r, "test", "train0.mp4,eat,0,1,"), "duplicate", "train0.mp4 (test, 0 s to"),
        (
            lambda r: add(r, "test", "test0.mp4,eat,,,train1"),
            "shared",
            "subject 'train1' is in the",
        ),
        (lambda r: (r / "annotations" / "test.csv").unlink(), "annotation", "has no test.csv"),
    ],
)
def test_what_is_wrong_is_found(
    root: Path, spoil: Callable[[Path], object], kind: str, line: str
) -> None:
    spoil(root)
    found = look(DAIDataModule, root)
    assert [finding.kind for finding in found.findings if finding.wrong] == [kind]
    assert line in found.findings[0].line


def test_the_same_content_under_two_names(root: Path) -> None:
    shutil.copy(root / "videos" / "train0.mp4", root / "videos" / "again.mp4")
    add(root, "val", "again.mp4,eat,,,someone")
    (finding,) = look(DAIDataModule, root).findings
    assert finding.kind == "duplicate"
    assert "train0.mp4 (train" in finding.line
    assert "again.mp4 (val)" in finding.line


def test_damage_is_found_by_decoding_only(root: Path) -> None:
    with_damage(root)
    assert look(DAIDataModule, root, decode=False).wrong == 0


def test_official_lists_that_share_sources_are_no_mistake(tmp_path: Path) -> None:
    write_hmdb51(tmp_path)
    path = tmp_path / "testTrainMulti_7030_splits" / "wave_test_split1.txt"
    path.write_text(
        path.read_text().replace(
            "Film_wave_u_nm_np1_ba_goo_1.avi 1", "Film_wave_u_nm_np1_ba_goo_1.avi 2"
        )
    )
    found = look(HMDB51DataModule, tmp_path, decode=False)
    assert found.wrong == 0
    (finding,) = found.findings
    assert "source video 'Film' is in the splits" in finding.line


def test_damaged_frames_of_a_folder(tmp_path: Path) -> None:
    write_three_mdad(tmp_path)
    folder = tmp_path / "side_view_day_data" / "RGB1" / "S2" / "AC3"
    write_frames(folder, 22, "RGB1_SUB2ACT3F{}.jpg")
    path = folder / "RGB1_SUB2ACT3F4.jpg"
    path.write_bytes(path.read_bytes()[:150])
    found = look(ThreeMDADDataModule, tmp_path)
    assert [(f.kind, f.line.split(":")[0]) for f in found.findings if f.wrong] == [
        ("damage", str(path))
    ]
    assert sum("has no clip" in finding.line for finding in found.findings) == 13
    assert found.splits["train"]["views"] == ["front", "side"]
