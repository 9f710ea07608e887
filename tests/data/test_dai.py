from __future__ import annotations

import shutil
import warnings
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from made_up_videos import make_video

from vitprune.data import DAIDataModule
from vitprune.errors import InputError
from vitprune.files import content_digest


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
            make_video(tmp_path / "videos" / f"s{subject}.mp4", 10, mark=subject)
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
    videos = product(("train", "val", "test"), ("text", "drink"), range(2))
    for mark, (split, name, i) in enumerate(videos):
        make_video(tmp_path / split / name / f"{i}.avi", 3, mark=mark)
    (tmp_path / "train" / "text" / "notes.md").write_text("no video")
    made = module(tmp_path)
    assert made.class_names == ["drink", "text"]
    assert [len(made.splits[name]) for name in ("train", "val", "test")] == [4, 4, 4]
    assert made.splits["val"][3]["label"] == 1


def test_real_footage_in_directories(tmp_path: Path, clips: Path) -> None:
    for split, files in (("train", "yes no"), ("val", "eat want"), ("test", "milk sorry")):
        for name, file in zip(("first", "second"), files.split(), strict=True):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / f"{file}.mkv").symlink_to(clips / "asl" / f"{file}.mkv")
    made = module(tmp_path, views={"clips": 2, "crops": 3}, sampling="dense")
    (batch,) = made.test_dataloader()
    assert batch["clips"].shape == (2, 6, 3, 2, 16, 16)
    assert batch["label"].tolist() == [0, 1]
    assert batch["clips"].std() > 0.1


def test_directories_without_validation(tmp_path: Path) -> None:
    for mark, (split, i) in enumerate(product(("train", "test"), range(6))):
        make_video(tmp_path / split / "text" / f"{i}.avi", 3, mark=mark)
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
    with pytest.warns(UserWarning, match=r"1 annotation of dai left out.*videos/gone\.mp4.*4 test"):
        made = module(root, on_error="skip")
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


def with_rows(root: Path, split: str, *rows: str) -> None:
    """Adds rows ``video,label,start,end,subject,view`` to a split's annotations."""
    path = root / "annotations" / f"{split}.csv"
    path.write_text(path.read_text() + "".join(f"{row}\n" for row in rows))


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [
        ("s6.mp4,text,,,,", "", r"videos/s6\.mp4 \(train\) and .*s6\.mp4 \(test, 0 s to 0\.5 s\)"),
        ("s6.mp4,text,0.2,0.6,,", "", r"s6\.mp4 \(train, 0\.2 s to 0\.6 s\) are the same file and"),
        ("s6.mp4,text,,0.1,,", "", r"\(train, the beginning to 0\.1 s\)"),
        ("", "s2.mp4,text,0.9,,,", r"\(train, 0\.5 s to the end\) and .*\(test, 0\.9 s to "),
        ("alone.mp4,text,,,,", "alone.mp4,text,,,,",
         r"videos/alone\.mp4 \(train\) and videos/alone\.mp4 \(test\) are the same file; a moment"),
        ("alone.mp4,text,,,,", "copy.mp4,drink,,,,",
         r"videos/alone\.mp4 \(train\) and .*copy\.mp4 \(test\) are files of the same content"),
        ("alone.mp4,text,,,,", "link.mp4,text,,1,s6,",
         r"videos/alone\.mp4 \(train\) and .*link\.mp4 \(test, the beginning to 1 s\) are "),
    ],
)  # fmt: skip
def test_a_moment_of_a_recording_in_two_splits(
    root: Path, train: str, test: str, message: str
) -> None:
    make_video(root / "videos" / "alone.mp4", 8, mark=9)
    shutil.copy(root / "videos" / "alone.mp4", root / "videos" / "copy.mp4")
    (root / "videos" / "link.mp4").symlink_to("alone.mp4")
    for split, row in (("train", train), ("test", test)):
        if row:
            with_rows(root, split, row)
    with pytest.raises(InputError, match=message) as caught:
        module(root)
    assert "\n" not in str(caught.value)


def test_the_same_file_in_two_directories(tmp_path: Path) -> None:
    for mark, (split, i) in enumerate(product(("train", "val", "test"), range(3))):
        make_video(tmp_path / split / "text" / f"{i}.avi", 3, mark=mark)
    for i in (1, 2):
        shutil.copy(tmp_path / f"train/text/{i}.avi", tmp_path / f"val/text/again{i}.avi")
    message = (
        r"train/text/1\.avi \(train\) and val/text/again1\.avi \(val\) are files of the same "
        r"content \(and so in 1 more recording\)"
    )
    with pytest.raises(InputError, match=message):
        module(tmp_path)


def test_other_moments_of_a_recording_are_let_through_with_a_warning(root: Path) -> None:
    make_video(root / "videos" / "long.mp4", 30, mark=9)
    with_rows(root, "train", "long.mp4,text,0,1,,", "long.mp4,drink,2,,,")
    with_rows(root, "test", "long.mp4,text,1,2,,")
    with pytest.warns(UserWarning, match="3 clips are of 1 recording of .* same driver may be in"):
        made = module(root)
    held_out = {clip.path.name for clip in made.splits["val"].clips}
    assert len(held_out) == 1
    with_rows(root, "test", "long.mp4,text,1.5,2.1,,")
    with pytest.raises(InputError, match="2 s to the end"):
        module(root)


def test_known_drivers_of_one_recording_need_no_warning(root: Path) -> None:
    make_video(root / "videos" / "long.mp4", 30, mark=9)
    with_rows(root, "train", "long.mp4,text,0,1,s0,")
    with_rows(root, "test", "long.mp4,text,1,2,s7,")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module(root)


def test_only_files_of_equal_size_in_two_splits_are_read(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def digest(path: Path) -> str:
        read.append(path.name)
        return content_digest(path)

    monkeypatch.setattr("vitprune.data.recordings.content_digest", digest)
    for split, numbers in (("train", range(6)), ("test", range(6, 8))):
        for i in numbers:
            with (root / "videos" / f"s{i}.mp4").open("ab") as file:
                file.write(bytes(1000 * i))
        with_rows(root, split, f"other-{split}.mp4,text,,,,")
        (root / "videos" / f"other-{split}.mp4").write_text(f"{split:5} other")
    (root / "annotations" / "val.csv").write_text("video,label\nlonger.mp4,text\n")
    (root / "videos" / "longer.mp4").write_text("still longer")
    module(root)
    assert sorted(read) == ["other-test.mp4", "other-train.mp4"]


@pytest.mark.parametrize("seed", range(6))
def test_what_is_held_out_for_validation_shares_no_recording(root: Path, seed: int) -> None:
    shutil.copy(root / "videos" / "s0.mp4", root / "videos" / "copy.mp4")
    with_rows(root, "train", "copy.mp4,text,,,,", "s1.mp4,drink,,,,")
    made = module(root, val_fraction=0.5, seed=seed)
    parts = [{clip.path.name for clip in made.splits[name].clips} for name in ("train", "val")]
    assert not parts[0] & parts[1]
    assert not any({"s0.mp4", "copy.mp4"} <= {a, b} for a, b in product(*parts))
