"""Every explanation on a small stand-in, and what is said of bad input."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from scipy import stats

from vitprune.demo import StandIn
from vitprune.errors import InputError
from vitprune.launch.configuration import parse
from vitprune.models import build_model
from vitprune.results.statistics import holm
from vitprune.tasks import Run
from vitprune.tasks.explain import explain
from vitprune.tasks.explain.attention import picture_stems
from vitprune.training import VideoClassifier
from vitprune.training.provenance import Provenance

CONF = Path(__file__).resolve().parent.parent.parent / "conf"
SIZES = {"train": 2, "val": 1, "test": 2}
SMALL = (
    "trainer=cpu", "logger=none", "dataset.num_workers=0",
    "dataset.demo.videos_per_class={train: 2, val: 1, test: 2}", "dataset.demo.frames=8",
)  # fmt: skip
SETTINGS = {
    "num_frames": 4, "image_size": 32, "sampling": "uniform", "stride": 4,
    "mean": [0.45] * 3, "std": [0.225] * 3,
}  # fmt: skip
UNTRAINED = Provenance({}, {}, [])
Explain = Callable[..., tuple[dict[str, Any], Path]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the data and three models lie: two of DAI's classes, one of UCF101's."""
    root = tmp_path_factory.mktemp("explanations")
    for layout in ("dai", "ucf101"):
        stand_in = StandIn(layout, SIZES, frames=8)  # type: ignore[arg-type]
        stand_in(root / "data" / f"demo_{layout}")
    torch.manual_seed(0)
    sports = [
        line.split()[1]
        for line in (root / "data/demo_ucf101/ucfTrainTestlist/classInd.txt")
        .read_text()
        .splitlines()
    ]
    actions = (root / "data/demo_dai/classes.txt").read_text().split()
    for name, model, classes, size in (
        ("dai", "mvit", actions, 32), ("time", "timesformer", actions, 32),
        ("ucf", "mvit", sports, 32), ("large", "mvit", sports, 48),
    ):  # fmt: skip
        built = build_model(model, "tiny", num_classes=len(classes), num_frames=4, image_size=size)
        built.initialise_for_scratch(gain=3.0)  # so that heads differ by more than is written
        settings = {**SETTINGS, "image_size": size}
        VideoClassifier(built, classes, settings, provenance=UNTRAINED).save(root / f"{name}.ckpt")
    return root


@pytest.fixture
def run(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    """``run("explain=relevance", ...)``: what results.json holds, and the run directory."""
    monkeypatch.setenv("VITPRUNE_DATA", str(place / "data"))

    def run(*overrides: str, ckpt: str = "dai") -> tuple[dict[str, Any], Path]:
        given = [*SMALL, f"runs={place / 'runs'}", f"ckpt={place / ckpt}.ckpt", *overrides]
        if any(o.startswith("dataset@") for o in overrides):
            given += [o.replace("dataset.", "other_dataset.") for o in SMALL[2:]]
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = parse(OmegaConf.to_container(compose("evaluate", given), resolve=True))  # type: ignore[arg-type]
        results = explain(cfg, Run(cfg, "explain", tmp_path)).plain()
        assert json.loads((tmp_path / "results.json").read_text()) == json.loads(
            json.dumps(results)
        )
        assert results["settings"]["explain"] == results["explain"]
        return results, tmp_path

    return run


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_relevance(run: Explain) -> None:
    results, where = run("explain=relevance")
    heads = table(where / "heads.csv")
    assert len(heads) == results["heads"] == 65
    assert heads[0]["head"] == "0.0"
    shares = [float(row["consistency"]) for row in heads]
    assert sum(shares) == pytest.approx(results["top"])
    classes = {row["class"] for row in table(where / "heads_per_class.csv")}
    assert classes == set(table(where / "class_means.csv")[0]) - {"head"}
    means = table(where / "class_means.csv")
    for row, head in zip(means, heads, strict=True):  # two clips of each class
        per_class = [float(row[name]) for name in classes]
        assert np.mean(per_class) == pytest.approx(float(head["R"]), rel=1e-3, abs=1e-6)
    for picture in ("heads.png", "classes.png"):
        assert (where / picture).stat().st_size > 10_000


def test_heads_are_singled_out_on_the_calibration_split(run: Explain) -> None:
    def best(rows: list[dict[str, str]], column: str) -> str:
        return max(rows, key=lambda row: float(row[column]))["head"]

    results, where = run("explain=relevance", "split=val", "calibration=val")
    of_val = table(where / "class_means.csv")
    most_consistent = best(table(where / "heads.csv"), "consistency")
    assert results["most_consistent"] == most_consistent
    results, where = run("explain=relevance")
    assert (results["chosen_on"], results["split"]) == ("val", "test")
    assert results["most_consistent"] == most_consistent
    of_test = {row["head"]: row for row in table(where / "class_means.csv")}
    first: dict[str, dict[str, str]] = {}
    for row in table(where / "heads_per_class.csv"):
        first.setdefault(row["class"], row)
    for name, row in first.items():
        assert row["head"] == best(of_val, name)
        assert float(row["mean"]) == pytest.approx(float(of_test[row["head"]][name]), rel=1e-4)
        assert row["confidence"] == "nan"  # one clip of each class
    best_on_test = {name: best(list(of_test.values()), name) for name in first}
    assert best_on_test != {name: row["head"] for name, row in first.items()}


def test_relevance_follows_the_target(run: Explain) -> None:
    _, where = run("explain=relevance", "target=label", "metric=dProb")
    means = table(where / "class_means.csv")
    for row, head in zip(means, table(where / "heads.csv"), strict=True):
        per_class = [float(value) for name, value in row.items() if name != "head"]
        assert np.mean(per_class) == pytest.approx(float(head["dProb"]), rel=1e-3, abs=1e-6)
        assert head["class"] == max((float(v), k) for k, v in row.items() if k != "head")[1]


def test_attention_of_named_heads_side_by_side(run: Explain) -> None:
    results, where = run("explain=attention", "head=[3.time.h1,3.2]", "clip=drink_1", ckpt="time")
    assert results["head"] == ["3.time.1", "3.2"]
    (picture,) = results["pictures"]
    assert picture.endswith("_drink_1.mp4-3.time.1-3.2.png")
    assert (where / picture).exists()
    assert (where / picture).with_suffix(".mp4").exists()


def test_pictures_of_videos_of_one_name_and_of_clips_of_one_file(
    run: Explain, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("same-names")
    shutil.copytree(place / "data" / "demo_dai", root, dirs_exist_ok=True)
    for number, camera in ((1, "front"), (2, "side")):
        (root / "videos" / camera).mkdir()
        video = root / "videos" / "s03" / f"drink_{number}.mp4"
        video.rename(root / "videos" / camera / "drink.mp4")
    (root / "annotations" / "test.csv").write_text(
        "video,label,start,end\nfront/drink.mp4,drink,,0.3\n"
        "front/drink.mp4,drink,0.3,\nside/drink.mp4,drink,,\n"
    )
    results, where = run("explain=attention", "head='3.2'", "class=drink", f"dataset.root={root}")
    names = [
        "videos_front_drink.mp4_t_,0.3-3.2",
        "videos_front_drink.mp4_t_0.3-3.2",
        "videos_side_drink.mp4-3.2",
    ]
    assert results["pictures"] == [f"{name}.png" for name in names]
    for ending in ("png", "mp4"):
        assert {path.stem for path in where.glob(f"*.{ending}")} == set(names)


def test_a_name_of_a_picture_is_of_its_video_and_of_no_other() -> None:
    videos = ["a/x.mp4", "b/x.mp4", "b_x.mp4", "../B/X.mp4", "a#1/" + 300 * "y" + ".mkv"]
    stems = picture_stems(videos, ["3.1", "3.2"])
    assert stems[:3] == ["a_x.mp4-3.1-3.2", "b_x.mp4-3.1-3.2", "b_x.mp4-3.1-3.2-2"]
    assert len({stem.casefold() for stem in stems}) == len(videos)
    assert max(map(len, stems)) < 240
    assert not any(stem.startswith(".") for stem in stems)


def test_attention_of_the_best_head_of_a_class(run: Explain) -> None:
    results, _ = run("explain=attention", "class=reach_back", "query=cls")
    assert len(results["head"]) == 1
    assert len(results["pictures"]) == 2


def test_rollout_shows_one_clip_of_each_class(run: Explain) -> None:
    results, _ = run("explain=attention", "query=rollout", "clips=3")
    assert [name.split("-")[-1] for name in results["pictures"]] == ["rollout.png"] * 3


def test_boxes_on_two_datasets(run: Explain) -> None:
    results, where = run("explain=boxes", "dataset@other_dataset=demo_ucf101")
    rows = table(where / "boxes.csv")
    assert len(rows) == 3 * 65
    assert {row["kind"] for row in rows} == {"head", "hand", "object"} == set(results["detectors"])
    for row in rows:
        assert float(row["lift_low"]) <= float(row["lift"]) <= float(row["lift_high"])
        gain = float(row["lift"]) - float(row["lift_elsewhere"])
        assert float(row["gain"]) == pytest.approx(gain, abs=1e-4)
    across = results["other_dataset"]
    assert across["best_chosen_on"] == {"dataset": "demo_dai", "split": "val"}
    best = {kind: across[kind]["best"] for kind in results["detectors"]}
    assert best == {kind: heads[0] for kind, heads in results["detectors"].items()}
    chosen_on = table(run("explain=boxes", "split=val")[1] / "boxes.csv")
    assert best == {
        row["kind"]: row["head"] for row in sorted(chosen_on, key=lambda r: float(r["lift"]))
    }
    for row in rows:
        if row["head"] == best[row["kind"]]:
            assert across[row["kind"]]["lift"] == pytest.approx(float(row["lift"]), rel=1e-4)
    for there in (across[kind] for kind in best):
        low, high = there["lift_there_interval"]
        assert low <= there["lift_there"] <= high
        assert -1 <= there["spearman"] <= 1
    assert (where / "boxes_across.png").exists()
    lifts = {
        kind: np.array([(row["lift"], row["R"]) for row in rows if row["kind"] == kind], float)
        for kind in results["relevance"]
    }
    found = results["relevance"]
    rho = np.array([found[kind]["spearman"] for kind in lifts])
    for value, (lift, relevance) in zip(rho, (pairs.T for pairs in lifts.values()), strict=True):
        # Heads alike but for digits that are not written tie in the file: any order is possible.
        low, high = (
            stats.spearmanr(np.argsort(np.lexsort((sign * relevance, lift))), relevance).statistic
            for sign in (-1, 1)
        )
        assert low - 1e-3 <= value <= high + 1e-3
    alone = 2 * stats.t.sf(np.abs(rho) * np.sqrt((65 - 2) / (1 - rho**2)), 65 - 2)
    assert [found[kind]["p"] for kind in lifts] == pytest.approx(holm(alone), rel=1e-6)


def test_boxes_of_ones_own(run: Explain, place: Path, tmp_path: Path) -> None:
    with (place / "data/demo_dai/boxes.csv").open() as file:
        lines = [line for line in file if ",head," in line or line.startswith("video,")]
    own = tmp_path / "own.csv"
    own.write_text("".join(lines).replace(",head,", ",face,"))
    results, _ = run("explain=boxes", f"boxes={own}")
    assert list(results["detectors"]) == ["face"]
    late = [re.sub(r",(\d+),head,", r",9\1,head,", line) for line in lines]
    for unusable in (lines[:1], late):
        own.write_text("".join(unusable))
        with pytest.raises(InputError, match=r"own\.csv has no boxes of the test split's videos"):
            run("explain=boxes", f"boxes={own}")


def test_transfer(run: Explain, place: Path) -> None:
    results, where = run(
        "explain=transfer", "dataset=demo_ucf101", "class=PlayingViolin", "other_head='15.1'",
        f"other_ckpt={place / 'ucf.ckpt'}", "dataset@other_dataset=demo_dai",
    )  # fmt: skip
    assert results["head_chosen_on"] == "demo_dai"
    assert results["other_head"] == "15.1"
    assert all("PlayingViolin" in video for video in results["videos"])
    assert (where / "transfer.png").stat().st_size > 20_000


def test_a_model_with_fewer_classes_than_the_clips(run: Explain, place: Path) -> None:
    arguments = ["explain=transfer", f"other_ckpt={place / 'dai.ckpt'}", "class=put_down"]
    results, _ = run(*arguments, ckpt="ucf")  # 12 classes; put_down is the 17th
    assert results["head_chosen_on"] == "demo_dai"
    assert results["head"]
    with pytest.raises(InputError, match="target=label needs the checkpoint's own classes"):
        run(*arguments, "target=label", ckpt="ucf")


def test_causal(run: Explain) -> None:
    results, where = run("explain=causal", "class=reach_back", "head=15.1", "draws=3")
    assert results["alone"]["heads"] == ["15.1"]
    assert len(results["with 2 peers"]["heads"]) == 3
    assert len(results["alone"]["random_top1"]) == 3
    assert len(table(where / "causal_top1.csv")) == 2 * 17
    assert (where / "causal.png").exists()


def test_explorer(run: Explain) -> None:
    results, where = run("explain=explorer")
    assert results["boxes"] == ["hand", "head", "object"]
    page = (where / "explorer.html").read_text()
    assert page.count("data:image/webp;base64,") == 17
    assert "http" not in page
    assert (where / "explorer.html").stat().st_size < 2_000_000


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["explain=attention", "head='15.8'"], r"head=15\.8 does not exist in mvit; layer 15 has"),
        (["explain=causal", "class=yawn", "head='99.1'"], r"head=99\.1 does not exist in mvit"),
        (["explain=causal", "class=dance"], "class=dance is not in dataset=demo_dai, which has d"),
        (["explain=causal"], "explain=causal needs a class: class=NAME"),
        (["explain=attention", "class=dance"], "class=dance is not in"),
        (["explain=attention", "head='1.0'", "clip=nobody"], "clip=nobody is in no name of the 34"),
        (["explain=transfer"], "name the second one, .* other_ckpt=FILE"),
        (["explain=transfer", "other_ckpt={large}"], "image_size is 32 in one and 48 in the other"),
        (["explain=transfer", "other_ckpt=nowhere.ckpt"], "checkpoint nowhere.ckpt does not exist"),
        (["explain=transfer", "other_ckpt={dai}", "query=rollout"], "takes query=mean or cls"),
        (["explain=boxes", "query=rollout"], "takes query=mean or cls"),
        (["explain=relevance", "metric=cosine"], "metric=cosine is unknown; metric takes JSD"),
        (["explain=attention", "clips=0"], "clips=0 is out of range"),
        (["explain=relevance", "top=66"], "top=66 is out of range; the model has 65 heads"),
        (["explain=relevance", "dataset=demo_ucf101"], "the checkpoint has 17 classes "),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(
    overrides: list[str], line: str, run: Explain, place: Path, tmp_path: Path
) -> None:
    names = {name: place / f"{name}.ckpt" for name in ("dai", "large")}
    with pytest.raises(InputError, match=line) as caught:
        run(*(override.format(**names) for override in overrides))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "results.json").exists()


def test_without_boxes_the_explorer_still_works(run: Explain, place: Path) -> None:
    path = place / "data/demo_dai/boxes.csv"
    shutil.move(path, place / "boxes.csv")
    try:
        results, _ = run("explain=explorer")
    finally:
        shutil.move(place / "boxes.csv", path)
    assert results["boxes"] == []


def test_boxes_that_were_asked_for_are_not_left_out(run: Explain, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file .*typo\.csv"):
        run("explain=explorer", f"boxes={tmp_path / 'typo.csv'}")
