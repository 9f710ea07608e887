from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from made_up_videos import make_video

from vitprune.data import DAIDataModule
from vitprune.errors import InputError


def module(root: Path, **options: Any) -> DAIDataModule:
    made = DAIDataModule(root=root, num_frames=2, image_size=16, num_workers=0, **options)
    made.setup()
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Annotated: two classes, eight subjects, in train and test; no val, no classes.txt."""
    (tmp_path / "annotations").mkdir()
    for split, subjects in (("train", range(6)), ("test", range(6, 8))):
        lines = ["video,label,start,end,subject,view"]
        for subject in subjects:
            make_video(tmp_path / "videos" / f"s{subject}.mp4", 10)
            lines.append(f"videos/s{subject}.mp4,text,0,0.5,s{subject},front")
            lines.append(f"s{subject}.mp4,drink,0.5,,s{subject},front")
        (tmp_path / "annotations" / f"{split}.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def subjects(made: DAIDataModule) -> dict[str, set[str]]:
    return {name: {clip.group for clip in part.clips} for name, part in made.splits.items()}


def test_annotations_are_read(root: Path) -> None:
    made = module(root)
    assert made.class_names == ["drink", "text"]
    first = made.splits["test"].clips[0]
    assert first.path == root / "videos" / "s6.mp4"
    assert (first.label, first.start, first.end) == (1, 0.0, 0.5)
    assert (first.group, first.view) == ("s6", "front")
    second = made.splits["test"].clips[1]
    assert (second.path, second.start, second.end) == (first.path, 0.5, None)
    assert made.splits["test"].frame_numbers(1).tolist() == [[6, 8]]


@pytest.mark.parametrize("seed", range(4))
def test_validation_is_made_of_whole_subjects(root: Path, seed: int) -> None:
    made = module(root, val_fraction=0.3, val_seed=seed)
    parts = subjects(made)
    assert len(parts["val"]) == 2
    assert parts["train"] | parts["val"] == {f"s{i}" for i in range(6)}
    assert not parts["train"] & parts["val"]
    assert subjects(module(root, val_fraction=0.3, val_seed=seed)) == parts


def test_the_order_of_classes_is_that_of_classes_txt(root: Path) -> None:
    (root / "classes.txt").write_text("text\ndrink\n\nreach\n")
    assert module(root).class_names == ["text", "drink", "reach"]


def test_numbers_as_labels_are_in_the_order_of_numbers(root: Path) -> None:
    for file in (root / "annotations").iterdir():
        file.write_text(file.read_text().replace("text", "9").replace("drink", "10"))
    assert module(root).class_names == ["9", "10"]


def test_only_two_columns_are_needed(root: Path) -> None:
    for split, i in (("train", 0), ("train", 1), ("test", 7)):
        with (root / "annotations" / f"{split}.csv").open("w" if i != 1 else "a") as file:
            file.write(("video,label\n" if i != 1 else "") + f"videos/s{i}.mp4,text\n")
    made = module(root)
    assert [len(made.splits[name]) for name in ("train", "val", "test")] == [1, 1, 1]
    assert made.splits["test"].clips[0].start is None


def test_directories_of_classes(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        for name in ("text", "drink"):
            for i in range(2):
                make_video(tmp_path / split / name / f"{i}.avi", 3)
    (tmp_path / "train" / "text" / "notes.md").write_text("no video")
    made = module(tmp_path)
    assert made.class_names == ["drink", "text"]
    assert [len(made.splits[name]) for name in ("train", "val", "test")] == [4, 4, 4]
    assert made.splits["val"][3]["label"] == 1


def test_real_footage_in_directories(tmp_path: Path, clips: Path) -> None:
    for split, files in (("train", "yes no"), ("val", "eat no"), ("test", "milk sorry")):
        for name, file in zip(("first", "second"), files.split(), strict=True):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / f"{file}.mkv").symlink_to(clips / "asl" / f"{file}.mkv")
    made = module(tmp_path, views={"clips": 2, "crops": 3}, sampling="dense")
    (batch,) = made.test_dataloader()
    assert batch["clips"].shape == (2, 6, 3, 2, 16, 16)
    assert batch["label"].tolist() == [0, 1]
    assert batch["clips"].std() > 0.1


def test_directories_without_validation(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for i in range(6):
            make_video(tmp_path / split / "text" / f"{i}.avi", 3)
    made = module(tmp_path, val_fraction=0.3)
    assert [len(made.splits[name]) for name in ("train", "val", "test")] == [4, 2, 6]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("videos/gone.mp4,text,,,s6,", r"line 6: no file 'videos/gone\.mp4'"),
        ("videos/s6.mp4,text,2,1,s6,", r"line 6: end 1 s is not after start 2 s"),
        ("videos/s6.mp4,text,,0,s6,", r"line 6: end 0 s is not after start 0 s"),
        ("videos/s6.mp4,text,soon,,s6,", r"line 6: start 'soon' is not a number of seconds"),
        ("videos/s6.mp4,text,-1,,s6,", r"line 6: start '-1' is not a number of seconds"),
        ("videos/s6.mp4,text,0,nan,s6,", r"line 6: end 'nan' is not a number of seconds"),
        ("videos/s6.mp4,,0,1,s6,", r"line 6: no label"),
        (",text,0,1,s6,", r"line 6: no video"),
        ("videos/s6.mp4,text,0,1,s6,front,more", r"line 6: more fields than columns"),
        ("videos/s6.mp4,sing,0,1,s6,", r"line 6: label 'sing' has no training clip"),
    ],
)
def test_a_wrong_row_is_refused(root: Path, row: str, message: str) -> None:
    path = root / "annotations" / "test.csv"
    path.write_text(path.read_text() + row + "\n")
    with pytest.raises(InputError, match=rf"test\.csv, {message}") as caught:
        module(root)
    assert "\n" not in str(caught.value)


def test_a_label_that_classes_txt_lacks(root: Path) -> None:
    (root / "classes.txt").write_text("text\n")
    with pytest.raises(InputError, match=r"train\.csv, line 3: label 'drink' is not in classes"):
        module(root)
    (root / "classes.txt").write_text("text\ndrink\ntext\n")
    with pytest.raises(InputError, match=r"classes\.txt: names class 'text' twice"):
        module(root)


def test_a_subject_in_two_splits(root: Path) -> None:
    path = root / "annotations" / "test.csv"
    path.write_text(path.read_text() + "videos/s3.mp4,text,,,s3,\n")
    with pytest.raises(InputError, match="subject 's3' is in both the train and the test split"):
        module(root)


def test_rows_without_their_file_may_be_allowed(root: Path) -> None:
    path = root / "annotations" / "test.csv"
    path.write_text(path.read_text() + "videos/gone.mp4,text,,,s7,\n")
    with pytest.warns(UserWarning, match=r"1 listed video is missing.*videos/gone\.mp4.*4 test"):
        made = module(root, allow_missing=True)
    assert len(made.splits["test"]) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("film,label\nx.mp4,text\n", r"test\.csv, line 1: no column 'video'; it has film, label"),
        ("", r"test\.csv, line 1: no column 'video'; it has none"),
        ("video,label\n", r"test\.csv: has no rows"),
        (b"video,label\n\xff\xfe,text\n", r"test\.csv: is no CSV file in UTF-8"),
    ],
)
def test_a_wrong_file_is_refused(root: Path, content: str | bytes, message: str) -> None:
    path = root / "annotations" / "test.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        module(root)


def test_missing_splits_are_named(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (root / "annotations" / "test.csv").unlink()
    with pytest.raises(InputError, match=r"annotations has no test\.csv"):
        module(root)
    with pytest.raises(InputError, match="has neither annotations/ nor train/"):
        module(tmp_path_factory.mktemp("empty"))


def test_too_few_subjects_for_validation(root: Path) -> None:
    path = root / "annotations" / "train.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:3]) + "\n")
    with pytest.raises(InputError, match="every class needs at least 2 groups"):
        module(root)
