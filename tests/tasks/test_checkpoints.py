"""A checkpoint is the one that was asked for, and has not seen what it is tested on."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_videos import make_video, write_ucf101
from pytorch_lightning.callbacks import ModelCheckpoint

from vitprune.errors import InputError
from vitprune.launch.configuration import Prune, parse
from vitprune.tasks.checkpoints import (
    check_same_clips,
    check_same_fine_tuning,
    leakage,
    with_checkpoint,
)
from vitprune.tasks.data import build_data
from vitprune.tasks.train import check_keeps_best, new_classifier
from vitprune.training import VideoClassifier
from vitprune.training.provenance import Excerpt, Provenance

Compose = Callable[..., Prune]


@pytest.fixture
def config(composed: Callable[..., dict[str, Any]], tmp_path: Path) -> Compose:
    """``config("seed=1")``: prune.py's configuration on the UCF101 of :func:`write_ucf101`."""
    write_ucf101(tmp_path / "ucf101")

    def config(*overrides: str) -> Prune:
        values = composed(
            "prune", "dataset=ucf101", f"dataset.root={tmp_path / 'ucf101'}", "scale=tiny",
            "model.tiny.num_frames=2", "model.tiny.image_size=32", "dataset.val_fraction=0.3",
            *overrides,
        )  # fmt: skip
        cfg = parse(values)
        assert isinstance(cfg, Prune)
        return cfg

    return config


def given_by(cfg: Prune, *keys: str) -> Prune:
    """The same where the command line names ``keys``, and a checkpoint."""
    return cfg.model_copy(update={"given": frozenset(keys), "ckpt": "best.ckpt"})


def fine_tuned(cfg: Prune, path: Path) -> VideoClassifier:
    """What train.py would leave, but for the training."""
    classifier = new_classifier(cfg, build_data(cfg))
    classifier.save(path)
    return VideoClassifier.load(path)


def test_a_checkpoint_says_what_it_was_fine_tuned_with(config: Compose, tmp_path: Path) -> None:
    cfg = config()
    path = tmp_path / "best.ckpt"
    classifier = fine_tuned(cfg, path)
    check_same_fine_tuning(path, classifier, cfg)
    check_same_clips(path, classifier, build_data(cfg, classifier))
    again = classifier.with_model(classifier.model)
    assert again.provenance == classifier.provenance


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.variant=v2_s", "model.variant=tiny, not v2_s"),
        ("dataset.val_fraction=0.4", "dataset.val_fraction=0.3, not 0.4"),
        ("dataset.split=2", "dataset.split=1, not 2"),
        ("dataset.val_seed=1", "dataset.val_seed=0, not 1"),
        ("dataset.sampling=dense", "dataset.sampling=uniform, not dense"),
        ("model.recipe.lr=0.5", "model.recipe.lr=0.001, not 0.5"),
        ("model.num_frames=4", "model.num_frames=2, not 4"),
        ("model.weights=kinetics400", "model.weights=null, not kinetics400"),
        ("seed=1", "seed=0, not 1"),
        ("trainer.max_epochs=1", "trainer.max_epochs=6, not 1"),
        ("+trainer.limit_train_batches=2", "trainer.limit_train_batches=null, not 2"),
        ("callbacks.checkpoint.monitor=val/loss", "checkpoint.monitor=val/top1, not val/loss"),
    ],
)
def test_one_of_other_settings_is_refused(
    override: str, told: str, config: Compose, tmp_path: Path
) -> None:
    path = tmp_path / "best.ckpt"
    classifier = fine_tuned(config(), path)
    with pytest.raises(InputError) as caught:
        check_same_fine_tuning(path, classifier, config(override))
    line = str(caught.value)
    assert told in line
    assert "fine-tune again" in line
    assert "fine_tuned=DIR" in line
    assert f"ckpt={path}" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "override",
    ["metric=JSD", "k=3", "trainer=gpu", "dataset.num_workers=0", "dataset.views.clips=3",
     "dataset.eval_batch_size=3", "model.compile=true", "calibration=test", "logger=none"],
)  # fmt: skip
def test_what_no_weight_depends_on_may_differ(
    override: str, config: Compose, tmp_path: Path
) -> None:
    path = tmp_path / "best.ckpt"
    check_same_fine_tuning(path, fine_tuned(config(), path), config(override))


def test_a_dataset_that_was_changed_since_is_refused(config: Compose, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    cfg = config()
    classifier = fine_tuned(cfg, path)
    extra = tmp_path / "ucf101/UCF-101/Archery/v_Archery_g09_c01.avi"
    make_video(extra)
    with (tmp_path / "ucf101/ucfTrainTestlist/testlist01.txt").open("a") as file:
        file.write("Archery/v_Archery_g09_c01.avi\n")
    with pytest.raises(InputError, match=r"when the test split of ucf101 in .* had other clips"):
        check_same_clips(path, classifier, build_data(cfg, classifier))


def test_a_checkpoint_of_an_older_version_is_not_trusted(config: Compose, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    cfg = config()
    fine_tuned(cfg, path)
    older = torch.load(path, weights_only=True)
    del older["vitprune"]["provenance"]
    torch.save(older, path)
    classifier = VideoClassifier.load(path)
    with pytest.raises(InputError, match="does not say what it was fine-tuned with"):
        check_same_fine_tuning(path, classifier, cfg)
    data = build_data(cfg, classifier)
    with pytest.raises(InputError, match="allow_leakage=true"):
        leakage(path, classifier, data, ["test"], allowed=False)
    assert leakage(path, classifier, data, ["test"], allowed=True) == {"unknown": 1}


def test_clips_that_were_trained_on_are_refused(config: Compose, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    classifier = fine_tuned(config(), path)
    own = build_data(config(), classifier)
    assert leakage(path, classifier, own, ["test", "val"], allowed=False) is None
    other = build_data(config("dataset.split=2"), classifier)
    with pytest.raises(InputError) as caught:
        leakage(path, classifier, other, ["test", "val"], allowed=False)
    assert "clips of the test split of ucf101, such as UCF-101/Archery/v_Arch" in str(caught.value)
    assert "allow_leakage=true" in str(caught.value)
    found = leakage(path, classifier, other, ["test", "val"], allowed=True)
    assert found is not None
    trained = {clip.path for clip in own.splits["train"].clips}
    assert found["test"] == sum(clip.path in trained for clip in other.splits["test"].clips)


def test_the_split_comes_from_the_checkpoint(config: Compose, tmp_path: Path) -> None:
    """With ckpt= given by hand, what the command line does not name is the checkpoint's."""
    path = tmp_path / "best.ckpt"
    classifier = fine_tuned(config("dataset.split=2", "dataset.val_seed=3"), path)
    cfg = with_checkpoint(given_by(config()), path, classifier)
    assert cfg.dataset.model_dump()["split"] == 2
    assert cfg.dataset.val_seed == 3
    data = build_data(cfg, classifier)
    assert leakage(path, classifier, data, ["test", "val"], allowed=False) is None
    kept = with_checkpoint(given_by(config(), "dataset.split"), path, classifier)
    assert kept.dataset.model_dump()["split"] == 1


def test_what_was_given_is_used_or_refused(config: Compose, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    classifier = fine_tuned(config(), path)
    other = config("dataset.sampling=dense", "model.tiny.image_size=64")
    cfg = with_checkpoint(given_by(other, "metric"), path, classifier)
    assert (cfg.dataset.sampling, cfg.dataset.image_size) == ("uniform", 32)
    for given in ("dataset.sampling", "model.tiny.image_size"):
        with pytest.raises(InputError, match=r"leave .* out, or fine-tune with it"):
            with_checkpoint(given_by(other, given), path, classifier)
    with_checkpoint(given_by(config(), "dataset.sampling", "model.variant"), path, classifier)


def test_what_only_training_looks_at_is_refused_too(config: Compose, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    classifier = fine_tuned(config(), path)
    for given, key in (("dataset.flip=false", "dataset.flip"), ("scale=full", "model.")):
        with pytest.raises(InputError, match=re.escape(key)):
            with_checkpoint(given_by(config(given), given.split("=")[0]), path, classifier)


def test_settings_are_those_that_were_used(config: Compose, tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    classifier = fine_tuned(config("model.recipe.lr=0.5", "dataset.flip=false"), path)
    settings = with_checkpoint(given_by(config("scale=full")), path, classifier).settings()
    assert settings["model"]["recipe"]["lr"] == 0.5
    assert (settings["model"]["variant"], settings["model"]["num_frames"]) == ("tiny", 2)
    assert settings["dataset"]["flip"] is False


def test_weights_that_a_fine_tuning_begins_with_count_as_seen(
    config: Compose, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.ckpt", tmp_path / "second.ckpt"
    fine_tuned(config("dataset.split=1"), first)
    cfg = config("dataset.split=2", f"model.weights={first}")
    classifier = fine_tuned(cfg, second)
    with pytest.raises(InputError, match="clips of the test split of ucf101"):
        leakage(second, classifier, build_data(cfg, classifier), ["test"], allowed=False)
    older = torch.load(first, weights_only=True)
    older["vitprune"]["provenance"] = None
    torch.save(older, first)
    with pytest.raises(InputError, match="does not say which clips it was trained on"):
        fine_tuned(cfg, second)


def test_callbacks_must_keep_the_best_epoch(config: Compose) -> None:
    check_keeps_best({"checkpoint": ModelCheckpoint(filename="best")})
    for callbacks in ({}, {"checkpoint": ModelCheckpoint(filename="other")}):
        with pytest.raises(InputError, match=r"callbacks\.checkpoint must be a ModelCheckpoint"):
            check_keeps_best(callbacks)


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (("a",), ("a",), True),
        (("a",), ("b",), False),
        (("a", 0.0, 2.0), ("a", 2.0, 4.0), False),
        (("a", 0.0, 2.1), ("a", 2.0, 4.0), True),
        (("a", 3.0), ("a", None, 3.0), False),
        (("a", 3.0), ("a", None, 3.5), True),
        (("a", 1.0, 2.0), ("a",), True),
    ],
)
def test_excerpts_overlap_where_they_share_a_moment(
    one: tuple[Any, ...], other: tuple[Any, ...], overlap: bool
) -> None:
    assert Excerpt(*one).overlaps(Excerpt(*other)) is overlap
    assert Excerpt(*other).overlaps(Excerpt(*one)) is overlap
    assert Provenance({}, {}, [Excerpt(*one)]).seen([Excerpt("c"), Excerpt(*other)]) == (
        [1] if overlap else []
    )
