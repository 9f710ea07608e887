"""Readers of public layouts, on made-up trees with the defects that the real ones have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from made_up_layouts import (
    dmd_label,
    write_ai_city,
    write_dmd,
    write_drive_and_act,
    write_frames,
    write_hmdb51,
    write_three_mdad,
)

from vitprune.data import (
    AICityDataModule,
    Clip,
    DMDDataModule,
    DriveAndActDataModule,
    HMDB51DataModule,
    ThreeMDADDataModule,
    VideoDataModule,
)
from vitprune.data.ai_city import recording
from vitprune.errors import InputError

LAYOUTS: dict[type[VideoDataModule], Callable[[Path], object]] = {
    AICityDataModule: write_ai_city,
    DMDDataModule: write_dmd,
    DriveAndActDataModule: write_drive_and_act,
    HMDB51DataModule: write_hmdb51,
    ThreeMDADDataModule: write_three_mdad,
}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[type[VideoDataModule], Path]:
    """Every layout, as it should be; not to be changed."""
    roots = {kind: tmp_path_factory.mktemp(kind.__name__) for kind in LAYOUTS}
    for kind, write in LAYOUTS.items():
        write(roots[kind])
    return roots


def read(kind: type[VideoDataModule], root: Path, **options: Any) -> VideoDataModule:
    made = kind(root=root, num_frames=4, image_size=16, num_workers=0, **options)
    made.setup()
    return made


def changed(root: Path, place: str, old: str, new: str) -> Path:
    """Puts one text in the place of another, in a file."""
    (path,) = root.glob(place)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def all_clips(made: VideoDataModule) -> list[Clip]:
    return [clip for part in made.splits.values() for clip in part.clips]


@pytest.mark.parametrize("kind", LAYOUTS, ids=lambda kind: kind.__name__)
def test_three_splits_without_common_subjects_that_can_be_decoded(
    kind: type[VideoDataModule], trees: dict[type[VideoDataModule], Path]
) -> None:
    made = read(kind, trees[kind])
    groups = [{clip.group for clip in part.clips} for part in made.splits.values()]
    assert all(groups)
    assert not any(one & other for one, other in combinations(groups, 2))
    assert {clip.label for clip in made.splits["train"].clips} <= set(range(made.num_classes))
    assert not made.left_out
    batch = next(iter(made.test_dataloader()))
    assert batch["clips"].shape[1:] == (1, 3, 4, 16, 16)
    again = read(kind, trees[kind])
    assert [part.listing() for part in again.splits.values()] == [
        part.listing() for part in made.splits.values()
    ]
    assert len({part.fingerprint() for part in made.splits.values()}) == 3


@pytest.mark.parametrize(
    "kind", [AICityDataModule, DMDDataModule, ThreeMDADDataModule], ids=lambda kind: kind.__name__
)
def test_subjects_of_the_test_split_are_drawn_from_a_seed(
    kind: type[VideoDataModule], trees: dict[type[VideoDataModule], Path]
) -> None:
    def tested(**options: Any) -> frozenset[str]:
        made = read(kind, trees[kind], **options)
        return frozenset(clip.group for clip in made.splits["test"].clips)

    assert len({tested(test_seed=seed) for seed in range(6)}) > 1
    assert tested(test_seed=1) == tested(test_seed=1, val_seed=5, seed=3)
    assert len(tested(test_fraction=0.5)) > len(tested(test_fraction=0.2))


@pytest.mark.parametrize(
    ("kind", "views"),
    [
        (AICityDataModule, ["dashboard", "rear_view"]),
        (DMDDataModule, ["body", "face", "hands"]),
        (DriveAndActDataModule, ["inner_mirror", "kinect_color"]),
        (ThreeMDADDataModule, ["front", "side"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_one_view_or_all(
    kind: type[VideoDataModule], views: list[str], trees: dict[type[VideoDataModule], Path]
) -> None:
    together = all_clips(read(kind, trees[kind]))
    assert sorted({clip.view for clip in together}) == views
    alone = all_clips(read(kind, trees[kind], view=views[1]))
    assert {clip.view for clip in alone} == {views[1]}
    assert {clip for clip in together if clip.view == views[1]} == set(alone)
    with pytest.raises(InputError, match=r"dataset\.view=roof is unknown; .* has all, \w+"):
        read(kind, trees[kind], view="roof")


# Drive&Act


def test_chunks_of_drive_and_act_end_before_their_end(
    trees: dict[type[VideoDataModule], Path],
) -> None:
    made = read(DriveAndActDataModule, trees[DriveAndActDataModule], view="kinect_color")
    assert made.class_names == ["eating", "reading"]
    clip = made.splits["test"].clips[1]
    assert (clip.start, clip.end, clip.unit, clip.label) == (10, 25, "frames", 1)
    assert clip.path.parts[-3:] == ("kinect_color", "vp5", "run1_2018.ids_1.mp4")
    assert made.splits["test"].names[1] == "kinect_color/vp5/run1_2018.ids_1.mp4#frames=10,25"
    numbers = made.splits["test"].frame_numbers(1)
    assert (numbers.min(), numbers.max()) == (11, 23)


def test_levels_and_splits_of_drive_and_act(trees: dict[type[VideoDataModule], Path]) -> None:
    root = trees[DriveAndActDataModule]
    assert read(DriveAndActDataModule, root, level="tasklevel").class_names == ["rest", "work"]
    tested = [
        {clip.group for clip in read(DriveAndActDataModule, root, split=n).splits["test"].clips}
        for n in range(3)
    ]
    assert tested == [{"vp5", "vp6"}, {"vp6", "vp1"}, {"vp1", "vp2"}]
    with pytest.raises(InputError, match=r"dataset\.split is 3; it must be 0, 1 or 2"):
        read(DriveAndActDataModule, root, split=3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",0,10,", ",10,10,", r"line 2: frame_end 10 is not after frame_start 10"),
        (",0,10,", ",zero,10,", r"line 2: frame_start 'zero' is not the number of a frame"),
        (",eating,", ",,", r"line 2: no activity"),
        ("frame_end", "frame_last", r"line 1: no column 'frame_end'; it has participant_id"),
        ("5,vp5/run1_2018.ids_1,0,", "5,vp5/run9,0,", r"1 listed video is missing .*run9\.mp4"),
        ("5,vp5/run1_2018.ids_1,0,", "1,vp5/run1_2018.ids_1,0,", r"participant 'vp1' is in both"),
    ],
)
def test_a_wrong_row_of_drive_and_act(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_drive_and_act(tmp_path, ["kinect_color"])
    changed(tmp_path, "activities_3s/*/midlevel.chunks_90.split_0.test.csv", old, new)
    with pytest.raises(InputError, match=message) as caught:
        read(DriveAndActDataModule, tmp_path)
    assert "\n" not in str(caught.value)


# DMD


def test_cameras_of_dmd_are_shifted_and_ends_are_inclusive(tmp_path: Path) -> None:
    write_dmd(tmp_path)  # hands began first, face 3 frames later, body 2 more
    made = read(DMDDataModule, tmp_path)
    assert made.class_names == ["safe_drive", "texting_right"]
    one = {clip.view: clip for clip in all_clips(made) if clip.group == "gA_1" and clip.label == 1}
    spans = {view: (clip.start, clip.end) for view, clip in one.items()}
    assert spans == {"hands": (10, 20), "face": (7, 17), "body": (5, 15)}
    assert one["body"].path.name == "gA_1_s1_2019-03-08T09;31;15+01;00_rgb_body.mp4"
    first = [c for c in all_clips(made) if (c.group, c.view, c.start) == ("gA_1", "body", 0)]
    assert [clip.end for clip in first] == [5]  # from its first frame on


def test_what_a_camera_of_dmd_did_not_record_is_no_clip(tmp_path: Path) -> None:
    paths = write_dmd(tmp_path)
    actions = [("driver_actions/drinking", [(0, 3), (25, 60)])]
    paths[0].write_text(json.dumps(dmd_label((5, 0), actions)))
    found = {
        (clip.view, clip.start, clip.end)
        for part in DMDDataModule(root=tmp_path, num_frames=4, image_size=16)
        .read_layout()[1]
        .values()
        for clip in part
        if clip.group == "gA_1"
    }
    assert found == {
        ("face", 0, 4), ("hands", 0, 4), ("face", 25, 30), ("hands", 25, 30), ("body", 20, 30),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"openlabel"', '"vcd"', r"distraction\.json: is not in OpenLABEL: has vcd"),
        ("{", "[", r"distraction\.json: is no JSON file"),
        ('"frame_end": 19', '"frame_end": 9', r"action 2 \(driver_actions/texting_right\), interv"),
        ('"frame_start": 10', '"frame_start": "a"', r"frame_start 'a' and frame_end 19 are not"),
        ('"frame_shift": -3', '"frame_shift": null', r"hands_camera.*frame_shift is None, not"),
    ],
)
def test_a_wrong_label_of_dmd(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_dmd(tmp_path)
    changed(tmp_path, "gA/3/s1/*.json", old, new)
    with pytest.raises(InputError, match=message):
        read(DMDDataModule, tmp_path)
    made = read(DMDDataModule, tmp_path, on_error="skip")
    assert len(made.left_out[""]) == 1


# AI City


def test_names_of_ai_city_are_spelt_in_two_ways(tmp_path: Path) -> None:
    write_ai_city(tmp_path)
    made = read(AICityDataModule, tmp_path)
    assert made.class_names == ["Class 5", "Class 10"]
    own = sorted((c.view, c.start, c.end, c.label) for c in all_clips(made) if c.group == "24026")
    assert own == [
        ("dashboard", 0, 1, 0),
        ("dashboard", 2, 3, 1),
        ("rear_view", 0, 1, 0),
        ("rear_view", 2, 4, 1),
    ]


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("Dashboard_user_id_7_NoAudio_3.MP4", "dashboard"),
        ("Dashboard_User_id_NoAudio_7_3", "dashboard"),
        ("Rearview_mirror_user_id_7_NoAudio_3.mp4", "rear_view"),
        ("Rear_view_User_id_7_3 ", "rear_view"),
        ("Right_side_window_user_id_7_NoAudio_3.MP4", "right_side_window"),
        ("Rightside_window_User_id_7_3", "right_side_window"),
        ("Right side window_user_id_7_3", "right_side_window"),
    ],
)
def test_spellings_of_ai_city(name: str, view: str) -> None:
    assert recording(name) == (view, "7", 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0:00:01,Class 5", "0:00:00,Class 5", r"line 2: End Time 0:00:00 is not after Start Time"),
        ("0:00:01,Class 5", "0:61:01,Class 5", r"line 2: End Time '0:61:01' is no time h:m:s"),
        ("0:00:01,Class 5", "7,Class 5", r"line 2: End Time '7' is no time"),
        (
            "Class 5",
            "Drinking",
            r"line 2: Label \(Primary\) 'Drinking' is neither 'Class N' nor NA",
        ),
        ("Dashboard_User_id_24491_3", "", r"line 2: no Filename, and none in a row above"),
        (
            "Dashboard_User_id_24491_3",
            "Dashboard_User_id_24491_4",
            r"line 2: no video for Filename",
        ),
        ("Dashboard_User_id_24491_3", "Dashboard_User_id_30932_3", r"line 2: .* is of user 30932"),
        ("Dashboard_User_id_24491_3", "Roof_User_id_24491_3", r"line 2: .* is not of the form"),
        ("Label (Primary)", "Label", r"line 1: no column 'Label \(Primary\)'"),
    ],
)
def test_a_wrong_row_of_ai_city(tmp_path: Path, old: str, new: str, message: str) -> None:
    write_ai_city(tmp_path)
    changed(tmp_path, "A1/user_id_24491/*.csv", old, new)
    with pytest.raises(InputError, match=rf"user_id_24491\.csv, {message}") as caught:
        read(AICityDataModule, tmp_path)
    assert str(caught.value).count("on_error=skip") == 1
    made = read(AICityDataModule, tmp_path, on_error="skip")
    assert all("user_id_24491.csv" in line for line in made.left_out[""])
    assert len(all_clips(made)) < 20


def test_times_of_day_in_ai_city(tmp_path: Path) -> None:
    write_ai_city(tmp_path)
    changed(tmp_path, "A1/user_id_24491/*.csv", "0:00:00,0:00:01,C", "12:00:00 AM,12:00:01 AM,C")
    own = [clip for clip in all_clips(read(AICityDataModule, tmp_path)) if clip.group == "24491"]
    assert min((clip.start, clip.end) for clip in own) == (0, 1)


def test_two_files_for_one_name_of_ai_city(tmp_path: Path) -> None:
    write_ai_city(tmp_path)
    folder = tmp_path / "A1" / "user_id_35133"
    shutil.copy(
        folder / "Dashboard_user_id_35133_NoAudio_3.MP4", folder / "Dashboard_User_id_35133_3.MP4"
    )
    with pytest.raises(InputError, match=r"Dashboard_User_id_35133_3\.MP4 and .* are both video 3"):
        read(AICityDataModule, tmp_path)


# 3MDAD


def test_actions_of_3mdad(trees: dict[type[VideoDataModule], Path]) -> None:
    made = read(ThreeMDADDataModule, trees[ThreeMDADDataModule])
    assert len(made.class_names) == 16
    clip = next(c for c in all_clips(made) if (c.group, c.view, c.label) == ("S2", "front", 2))
    assert clip.path.parts[-4:] == ("front_view_day_data", "RGB2", "S2", "AC3")
    with pytest.raises(InputError, match=r"neither side_view_night_data/IR1/ nor .*time is night"):
        read(ThreeMDADDataModule, trees[ThreeMDADDataModule], time="night", modality="ir")


def test_swapped_folders_of_3mdad_are_found(tmp_path: Path) -> None:
    write_three_mdad(tmp_path)
    subject = tmp_path / "side_view_day_data" / "RGB1" / "S3"
    for old, new in (("AC1", "x"), ("AC2", "AC1"), ("x", "AC2")):
        (subject / old).rename(subject / new)
    for folder, action in (("AC1", 1), ("AC2", 2)):
        for i, path in enumerate(sorted((subject / folder).iterdir())):
            path.rename(path.with_name(f"RGB1_SUB3ACT{action}F{i + 1}.jpg"))
    message = (
        r"S3/AC1: has 16 frames and AC2 has 10, but in front_view.*RGB2/S3 it is the other way"
    )
    with pytest.raises(InputError, match=message):
        read(ThreeMDADDataModule, tmp_path, view="side")
    made = read(ThreeMDADDataModule, tmp_path, view="side", on_error="skip")
    assert len(made.left_out[""]) == 2
    assert {clip.path.name for clip in all_clips(made) if clip.group == "S3"} == {"AC3"}


def test_folders_of_3mdad_that_hold_something_else(tmp_path: Path) -> None:
    write_three_mdad(tmp_path)
    folder = tmp_path / "front_view_day_data" / "RGB2" / "S1"
    (folder / "AC2" / "Vid_dep_S1_AC2.mj2").write_text("no picture")
    read(ThreeMDADDataModule, tmp_path)
    write_frames(folder / "AC1", 2, "RGB2_SUB2ACT1F{}.jpg")
    with pytest.raises(InputError, match=r"S1/AC1: 2 of its 12 frames are named for subject 2"):
        read(ThreeMDADDataModule, tmp_path)
    shutil.rmtree(folder / "AC1")
    (folder / "AC1").mkdir()
    with pytest.raises(InputError, match=r"S1/AC1: has no frames"):
        read(ThreeMDADDataModule, tmp_path)


# HMDB51


def test_lists_of_hmdb51(trees: dict[type[VideoDataModule], Path]) -> None:
    made = read(HMDB51DataModule, trees[HMDB51DataModule])
    assert made.class_names == ["brush_hair", "wave"]
    assert [len(part) for part in made.splits.values()] == [8, 4, 4]
    assert {clip.group for clip in made.splits["test"].clips} == {"Sarah"}
    assert {clip.path.parent.name for clip in made.splits["test"].clips} == {"brush_hair", "wave"}
    assert not any("Spare" in clip.path.name for clip in all_clips(made))


def test_a_wrong_line_of_hmdb51(tmp_path: Path) -> None:
    write_hmdb51(tmp_path)
    changed(tmp_path, "*/wave_test_split1.txt", "goo_0.avi 1", "goo_0.avi 3")
    with pytest.raises(InputError, match=r"wave_test_split1\.txt, line 1: .* not of the form"):
        read(HMDB51DataModule, tmp_path)
    (tmp_path / "wave" / "Film_wave_u_nm_np1_ba_goo_1.avi").unlink()
    with pytest.warns(UserWarning, match=r"2 annotations of hmdb left out: .*line 1.*Film_wave"):
        made = read(HMDB51DataModule, tmp_path, on_error="skip", name="hmdb")
    assert len(made.left_out["train"]) == len(made.left_out[""]) == 1
