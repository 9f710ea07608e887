from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_videos import make_video

from vitprune.data import UCF101DataModule
from vitprune.errors import InputError

NAMES = """
ApplyEyeMakeup ApplyLipstick Archery BabyCrawling BalanceBeam BandMarching BaseballPitch
Basketball BasketballDunk BenchPress Biking Billiards BlowDryHair BlowingCandles BodyWeightSquats
Bowling BoxingPunchingBag BoxingSpeedBag BreastStroke BrushingTeeth CleanAndJerk CliffDiving
CricketBowling CricketShot CuttingInKitchen Diving Drumming Fencing FieldHockeyPenalty
FloorGymnastics FrisbeeCatch FrontCrawl GolfSwing Haircut Hammering HammerThrow HandstandPushups
HandstandWalking HeadMassage HighJump HorseRace HorseRiding HulaHoop IceDancing JavelinThrow
JugglingBalls JumpingJack JumpRope Kayaking Knitting LongJump Lunges MilitaryParade Mixing
MoppingFloor Nunchucks ParallelBars PizzaTossing PlayingCello PlayingDaf PlayingDhol PlayingFlute
PlayingGuitar PlayingPiano PlayingSitar PlayingTabla PlayingViolin PoleVault PommelHorse PullUps
Punch PushUps Rafting RockClimbingIndoor RopeClimbing Rowing SalsaSpin ShavingBeard Shotput
SkateBoarding Skiing Skijet SkyDiving SoccerJuggling SoccerPenalty StillRings SumoWrestling
Surfing Swing TableTennisShot TaiChi TennisSwing ThrowDiscus TrampolineJumping Typing UnevenBars
VolleyballSpiking WalkingWithDog WallPushups WritingOnBoard YoYo
"""
CLASSES = NAMES.split()
GROUPS = range(1, 6)


def clip_name(name: str, group: int) -> str:
    # the files of this one class are spelt differently from its directory
    stem = "HandStandPushups" if name == "HandstandPushups" else name
    return f"{name}/v_{stem}_g{group:02d}_c01.avi"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """UCF101's layout with all its classes, in five groups of one video each."""
    root = tmp_path_factory.mktemp("ucf101")
    video = make_video(root / "any.avi", 3).read_bytes()
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("".join(f"{i} {c}\r\n" for i, c in enumerate(CLASSES, 1)))
    for split in (1, 2, 3):
        train, test = [], []
        for i, name in enumerate(CLASSES, 1):
            for group in GROUPS:
                if group == split:
                    test.append(f"{clip_name(name, group)}\n")
                else:
                    train.append(f"{clip_name(name, group)} {i}\n")
        (lists / f"trainlist0{split}.txt").write_text("".join(train))
        (lists / f"testlist0{split}.txt").write_text("".join(test))
    for name in CLASSES:
        for group in GROUPS:
            path = root / "UCF-101" / clip_name(name, group)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(video)
    return root


def module(root: Path, **options: Any) -> UCF101DataModule:
    made = UCF101DataModule(root=root, num_frames=2, image_size=16, num_workers=0, **options)
    made.setup()
    return made


def test_classes_are_in_the_official_order(root: Path) -> None:
    made = module(root)
    assert len(CLASSES) == made.num_classes == 101
    assert made.class_names == CLASSES
    for split in made.splits.values():
        for clip in split.clips:
            assert clip.path.parent.name == CLASSES[clip.label]


@pytest.mark.parametrize("split", [1, 2, 3])
@pytest.mark.parametrize("seed", [0, 7])
def test_no_group_crosses_splits(root: Path, split: int, seed: int) -> None:
    made = module(root, split=split, val_seed=seed, val_fraction=0.3)
    groups = {name: {c.group for c in part.clips} for name, part in made.splits.items()}
    assert groups["test"] == {f"g{split:02d}"}
    assert len(groups["val"]) == 1
    assert not groups["train"] & groups["val"]
    assert not (groups["train"] | groups["val"]) & groups["test"]
    assert sum(len(part) for part in made.splits.values()) == 505
    for part in made.splits.values():  # every class everywhere
        assert {clip.label for clip in part.clips} == set(range(101))


def test_the_validation_split_follows_its_own_seed_and_not_the_jobs(root: Path) -> None:
    def chosen(**seeds: int) -> tuple[Path, ...]:
        return tuple(clip.path for clip in module(root, **seeds).splits["val"].clips)

    assert len({chosen(seed=seed) for seed in range(8)}) == 1
    assert len({chosen(val_seed=seed) for seed in range(8)}) > 1


def test_an_item_decodes(root: Path) -> None:
    assert module(root).splits["test"][36]["clips"].shape == (1, 3, 2, 16, 16)


def test_missing_videos_are_counted_and_named(
    ucf101_module: Callable[..., UCF101DataModule], stand_ins: Path, tmp_path: Path
) -> None:
    source = stand_ins / "demo_ucf101"
    (tmp_path / "UCF-101").symlink_to(source / "UCF-101")
    lists = tmp_path / "ucfTrainTestlist"
    lists.mkdir()
    for file in (source / "ucfTrainTestlist").iterdir():
        (lists / file.name).write_text(file.read_text())
    with (lists / "testlist01.txt").open("a") as file:
        file.write("HulaHoop/v_HulaHoop_g77_c01.avi\nHulaHoop/v_HulaHoop_g78_c01.avi\n")
    message = r"2 listed videos are missing.*HulaHoop_g77_c01\.avi.*allow_missing=true"
    with pytest.raises(InputError, match=message):
        ucf101_module(root=tmp_path)
    with pytest.warns(UserWarning, match=r"2 listed videos are missing.*24 test clips remain"):
        made = ucf101_module(root=tmp_path, allow_missing=True)
    assert len(made.splits["test"]) == 24


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("classInd.txt", "1 A\n3 B\n", r"classInd\.txt, line 2: '3 B'; it should be '2 <Class>'"),
        ("classInd.txt", "", r"classInd\.txt: names no class"),
        (
            "trainlist01.txt",
            "Nope/v_Nope_g01_c01.avi 1\n",
            r"trainlist01\.txt, line 1: class 'Nope'",
        ),
        ("trainlist01.txt", "Archery/v_Archery_g02_c01.avi 9\n", r"line 1: Archery has label 9.*3"),
        (
            "trainlist01.txt",
            "\nArchery/v_Archery.avi 3\n",
            r"line 2: 'Archery/v_Archery\.avi' is not",
        ),
        (
            "trainlist01.txt",
            "Archery/v_Archery_g01_c02.avi 3\n",
            r"group g01 of Archery is in both",
        ),
        ("trainlist01.txt", "Archery/v_Archery_g02_c01.avi 3\n", r"none of the 1 groups"),
    ],
)
def test_a_wrong_list_is_refused(
    root: Path, tmp_path: Path, file: str, content: str, message: str
) -> None:
    (tmp_path / "UCF-101").symlink_to(root / "UCF-101")
    (tmp_path / "ucfTrainTestlist").mkdir()
    for path in (root / "ucfTrainTestlist").iterdir():
        (tmp_path / "ucfTrainTestlist" / path.name).write_text(path.read_text())
    (tmp_path / "ucfTrainTestlist" / file).write_text(content)
    with pytest.raises(InputError, match=message):
        module(tmp_path)


def test_missing_lists_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"classInd\.txt: cannot be read.*TrainTestSplits"):
        module(tmp_path)
