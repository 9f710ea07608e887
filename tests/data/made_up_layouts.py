"""Made-up trees in the exact layouts of public datasets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from made_up_videos import make_video
from PIL import Image

DMD_TIME = "2019-03-08T09;31;15+01;00"


def copies(video: Path, paths: Sequence[Path]) -> None:
    """The same video at several places, each with bytes behind its end that make it another."""
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, path)
        with path.open("ab") as file:
            file.write(b"\0\0\0\x0cfree" + number.to_bytes(4, "big"))


def write_frames(folder: Path, count: int, name: str = "F{}.jpg", level: int = 0) -> Path:
    """A folder of pictures of 24x32 that get brighter."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(1, count + 1):
        picture = np.full((24, 32, 3), min(255, level + 10 * i), np.uint8)
        Image.fromarray(picture).save(folder / name.format(i))
    return folder


def write_drive_and_act(
    root: Path, views: Sequence[str] = ("inner_mirror", "kinect_color")
) -> None:
    """Six participants, of whom each does two activities; three splits."""
    video = make_video(root / "any.mp4", 30)
    people = {"train": (1, 2, 3), "val": (4,), "test": (5, 6)}
    copies(
        video,
        [root / view / f"vp{i}" / "run1_2018.ids_1.mp4" for view in views for i in range(1, 7)],
    )
    for view in views:
        for level, names in (("midlevel", ("eating", "reading")), ("tasklevel", ("work", "rest"))):
            for number in range(3):
                for split, who in people.items():
                    rows = [
                        "participant_id,file_id,annotation_id,frame_start,frame_end,activity,chunk_id"
                    ]
                    for i in who:
                        i = (i + number - 1) % 6 + 1
                        rows.append(f"{i},vp{i}/run1_2018.ids_1,0,0,10,{names[0]},0")
                        rows.append(f"{i},vp{i}/run1_2018.ids_1,1,10,25,{names[1]},0")
                    path = root / "activities_3s" / view
                    path.mkdir(parents=True, exist_ok=True)
                    path /= f"{level}.chunks_90.split_{number}.{split}.csv"
                    path.write_text("\n".join(rows) + "\n")


def dmd_label(
    shifts: tuple[int, int], actions: Sequence[tuple[str, list[tuple[int, int]]]]
) -> dict:
    """OpenLABEL with the frame shifts of body and hands, and actions with their intervals."""
    streams = {
        f"{view}_camera": {
            "uri": f"{view}.mp4",
            "stream_properties": {"total_frames": 30, "sync": {"frame_shift": shift}},
        }
        for view, shift in zip(("face", "body", "hands"), (0, *shifts), strict=True)
    }
    return {
        "openlabel": {
            "streams": streams,
            "actions": {
                str(number): {
                    "type": kind,
                    "frame_intervals": [{"frame_start": a, "frame_end": b} for a, b in intervals],
                }
                for number, (kind, intervals) in enumerate(actions)
            },
        }
    }


def write_dmd(root: Path, subjects: int = 5) -> list[Path]:
    """Subjects who drive safely and write; the paths of their annotations."""
    video = make_video(root / "any.mp4", 30)
    paths = []
    videos = []
    for subject in range(1, subjects + 1):
        folder = root / "gA" / str(subject) / "s1"
        stem = f"gA_{subject}_s1_{DMD_TIME}_rgb"
        folder.mkdir(parents=True)
        videos += [folder / f"{stem}_{view}.mp4" for view in ("face", "body", "hands")]
        actions = [
            ("gaze_on_road/looking_road", [(0, 29)]),
            ("driver_actions/safe_drive", [(0, 9), (20, 29)]),
            ("driver_actions/texting_right", [(10, 19)]),
        ]
        paths.append(folder / f"{stem}_ann_distraction.json")
        paths[-1].write_text(json.dumps(dmd_label((2, -3), actions)))
    copies(video, videos)
    return paths


AI_CITY_HEADER = (
    "Filename,Camera View,Activity Type,Start Time,End Time,Label (Primary),Appearance Block"
)


def write_ai_city(root: Path, users: Sequence[int] = (24026, 24491, 35133, 38058, 49381)) -> None:
    """Users with two views, of which each has a list that spells its videos otherwise."""
    video = make_video(root / "any.mp4", 40)  # four seconds
    videos = []
    for user in users:
        folder = root / "A1" / f"user_id_{user}"
        folder.mkdir(parents=True)
        videos += [
            folder / f"Dashboard_user_id_{user}_NoAudio_3.MP4",
            folder / f"Rear_view_user_id_{user}_NoAudio_3.MP4",
        ]
        rows = [
            f"Dashboard_User_id_{user}_3,Dashboard,Distracted,0:00:00,0:00:01,Class 5,None",
            " ,,,0:00:01,0:00:02,NA,None",
            ",,,0:00:02,0:00:03,Class 10,None",
            ",,,,,,",
            f"Rearview_User_id_{user}_3,Rearview,Distracted,0:00:00,0:00:01,class 5 ,None",
            ",,,0:00:02,0:00:04,10,None",
        ]
        (folder / f"user_id_{user}.csv").write_text("\r\n".join([AI_CITY_HEADER, *rows]) + "\r\n")
    copies(video, videos)


def write_three_mdad(root: Path, subjects: int = 4, actions: int = 3) -> None:
    """Two views by day; every action of a subject has a length of its own."""
    for subject in range(1, subjects + 1):
        for action in range(1, actions + 1):
            for view, number in (("side", 1), ("front", 2)):
                folder = (
                    root / f"{view}_view_day_data" / f"RGB{number}" / f"S{subject}" / f"AC{action}"
                )
                name = f"RGB{number}_SUB{subject}ACT{action}F{{}}.jpg"
                write_frames(folder, 4 + 6 * action, name, level=20 * subject + number)


def write_hmdb51(root: Path) -> None:
    """Two classes, each with clips of five source videos."""
    video = make_video(root / "any.avi", 6)
    lists = root / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    videos = []
    for name in ("brush_hair", "wave"):
        rows = []
        for i, source in enumerate(("April_09", "#20 Rhythm_(clap)", "Film", "Sarah", "Spare")):
            for number in range(2):
                file = f"{source}_{name}_u_nm_np1_ba_goo_{number}.avi"
                videos.append(root / name / file)
                rows.append(f"{file} {(1, 1, 1, 2, 0)[i]} ")
        for split in (1, 2, 3):
            (lists / f"{name}_test_split{split}.txt").write_text("\n".join(rows) + "\n")
    copies(video, videos)
