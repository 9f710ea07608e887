"""What goes to W&B, and what happens when it cannot."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import wandb
from omegaconf import OmegaConf

from vitprune.errors import InputError
from vitprune.tracking import lineage
from vitprune.tracking.tracker import RunLogger, Tracker, wandb_logger


class Refusing:
    """A run of W&B that keeps what it is told, until it refuses."""

    offline, disabled, url = False, False, "where.it/is"

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.told: list[str] = []
        self.summary = self.config = self

    def _note(self, name: str) -> None:
        self.told.append(name)
        if name == self.refuses:
            raise ConnectionError("no route to host")

    def log(self, values: dict) -> None:
        self._note("log")

    def update(self, values: dict, allow_val_change: bool = False) -> None:
        self._note("update")

    def log_artifact(self, artifact: wandb.Artifact) -> None:
        self._note("log_artifact")

    def use_artifact(self, artifact: wandb.Artifact) -> None:
        self._note("use_artifact")

    def finish(self, exit_code: int) -> None:
        self._note(f"finish {exit_code}")


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def asset(directory: Path) -> lineage.Asset:
    return lineage.Asset("thing", "scores", {"thing.json": {"a": 1}})


@pytest.mark.parametrize("refuses", ["log", "update", "log_artifact", "use_artifact", "finish 0"])
def test_trouble_is_one_warning_and_the_end(
    refuses: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Refusing(refuses)
    logger = RunLogger(run, str(tmp_path))
    with Tracker(logger) as tracker:
        tracker.config(OmegaConf.create({"a": 1}))
        logger.log_metrics({"loss": 1.0}, step=1)
        tracker.summary({"a": 1})
        tracker.takes(asset(tmp_path))
        tracker.makes(asset(tmp_path))
    (line,) = warnings(caplog)
    assert line.startswith("W&B failed (ConnectionError: no route to host)")
    assert "\n" not in line
    assert run.told.count(refuses) == 1
    assert run.told[-1].startswith("finish")


def test_results_come_first(tmp_path: Path) -> None:
    run = Refusing()
    with Tracker(RunLogger(run, str(tmp_path))) as tracker:
        tracker.summary({"a": 1})
        tracker.series("k", {"top1": [1.0, 0.5]})
        tracker.image("chart", tmp_path / "not-yet.png")
        assert run.told == []
        with pytest.raises(AttributeError):  # the stand-in cannot define charts
            tracker._outbox[1](run)
        tracker._outbox.pop()
        tracker._outbox.pop()
    assert run.told == ["update", "finish 0"]


def test_a_job_that_fails_is_marked_and_sends_nothing_more(tmp_path: Path) -> None:
    run = Refusing()
    tracker = Tracker(RunLogger(run, str(tmp_path)))
    tracker.summary({"a": 1})
    with pytest.raises(KeyError), tracker:
        raise KeyError
    assert run.told == ["finish 1"]


def test_what_was_sent_is_there_whatever_comes_of_the_rest(tmp_path: Path) -> None:
    run = Refusing()
    tracker = Tracker(RunLogger(run, str(tmp_path)))
    tracker.summary({"a": 1})
    tracker.send()
    assert run.told == ["update"]
    tracker.table("exported/models", ["model"], [["full"]])
    with pytest.raises(KeyError), tracker:
        raise KeyError
    assert run.told == ["update", "finish 1"]


def test_inputs_are_named_offline(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    logger = wandb_logger(save_dir=str(tmp_path), project="vitprune")
    assert logger is not None
    with Tracker(logger) as tracker:
        tracker.takes(asset(tmp_path))
        tracker.makes(lineage.Asset("made", "model", {"made.json": {}}))
        run = logger.experiment
    (name,) = run.config["inputs"]
    assert name.startswith("thing@")
    assert warnings(caplog) == []
    (directory,) = tmp_path.glob("wandb/offline-run-*")
    assert caplog.messages[-1] == f"W&B: wandb sync {directory}"


def test_a_run_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**settings: object) -> None:
        raise wandb.errors.UsageError("No API key configured.\nUse `wandb login`")

    monkeypatch.setattr(wandb, "init", refuse)
    assert wandb_logger(save_dir=str(tmp_path)) is None
    assert len(warnings(caplog)) == 1
    with pytest.raises(InputError) as caught:
        wandb_logger(save_dir=str(tmp_path), mode="online")
    assert str(caught.value) == (
        "logger.mode=online: UsageError: No API key configured.; log in with `wandb login`, or use "
        "logger.mode=offline"
    )


def test_without_a_logger_nothing_is_sent() -> None:
    with Tracker(None) as tracker:
        tracker.config(OmegaConf.create())
        tracker.summary({"a": 1})
        tracker.send()
