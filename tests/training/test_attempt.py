"""An attempt at fine-tuning, what is left of it when it is killed, and what comes of it."""

import csv
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from vitprune.data.loading import SeededSampler
from vitprune.errors import InputError
from vitprune.training import Provenance
from vitprune.training.attempt import (
    Attempt,
    WholeCheckpoints,
    exclusive,
    joined_metrics,
)
from vitprune.training.callbacks import LastEpochValidated, RandomState


@pytest.fixture
def cfg() -> dict[str, Any]:
    return {
        "model": {"lr": 1e-3}, "dataset": {"name": "demo", "num_workers": 2}, "seed": 0, "k": 5
    }  # fmt: skip


def leave_half_done(attempt: Attempt, step: int) -> None:
    """What a fine-tuning that was killed after ``step`` steps leaves behind."""
    WholeCheckpoints().save_checkpoint({"global_step": step}, attempt.folder / "last.ckpt")
    (attempt.folder / "best.ckpt").write_text("best so far")


def write_part(attempt: Attempt, start: int, rows: list[dict[str, float]]) -> None:
    path = attempt.folder / "metrics" / str(start) / "metrics.csv"
    path.parent.mkdir(parents=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, sorted({name for row in rows for name in row}))
        writer.writeheader()
        writer.writerows(rows)


def test_the_same_settings_go_on_and_others_start_anew(tmp_path: Path, cfg: dict[str, Any]) -> None:
    first = Attempt(tmp_path, cfg)
    assert first.resume_from is None
    leave_half_done(first, step=4)

    cfg["k"], cfg["dataset"]["num_workers"] = 3, 0  # not what a fine-tuning depends on
    assert Attempt(tmp_path, cfg).resume_from == tmp_path / "partial" / "last.ckpt"

    cfg["begun_with"] = "digest of a checkpoint"
    assert Attempt(tmp_path, cfg).resume_from is None
    leave_half_done(Attempt(tmp_path, cfg), step=4)
    assert Attempt(tmp_path, cfg).resume_from is not None

    cfg["model"]["lr"] = 1e-4
    assert Attempt(tmp_path, cfg).resume_from is None
    assert not (tmp_path / "partial" / "best.ckpt").exists()


def test_other_clips_or_classes_are_another_attempt(tmp_path: Path, cfg: dict[str, Any]) -> None:
    seen = Provenance({}, {"train": "one list"}, [])
    leave_half_done(Attempt(tmp_path, cfg, ["a", "b"], seen), step=4)
    assert Attempt(tmp_path, cfg, ["a", "b"], seen).resume_from is not None
    assert Attempt(tmp_path, cfg, ["b", "a"], seen).resume_from is None
    leave_half_done(Attempt(tmp_path, cfg, ["b", "a"], seen), step=4)
    other = Provenance({}, {"train": "another list"}, [])
    assert Attempt(tmp_path, cfg, ["b", "a"], other).resume_from is None


def test_a_damaged_checkpoint_is_not_gone_on_from(tmp_path: Path, cfg: dict[str, Any]) -> None:
    leave_half_done(Attempt(tmp_path, cfg), step=4)
    last = tmp_path / "partial" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:100])
    assert Attempt(tmp_path, cfg).resume_from is None


def test_only_a_finished_attempt_leaves_a_checkpoint(tmp_path: Path, cfg: dict[str, Any]) -> None:
    attempt = Attempt(tmp_path, cfg)
    leave_half_done(attempt, step=4)
    write_part(attempt, 0, [{"step": 3, "val/top1": 0.5}])
    (tmp_path / "results.json").write_text("of the fine-tuning before")
    assert not (tmp_path / "best.ckpt").exists()
    attempt.finish({"val_top1": 0.5})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "best.ckpt", "config.yaml", "metrics.csv", "results.json",
    ]  # fmt: skip
    assert (tmp_path / "best.ckpt").read_text() == "best so far"
    assert json.loads((tmp_path / "results.json").read_text()) == {"val_top1": 0.5}


def test_what_is_finished_stays_until_something_else_is(
    tmp_path: Path, cfg: dict[str, Any]
) -> None:
    (tmp_path / "results.json").write_text("of the fine-tuning before")
    attempt = Attempt(tmp_path, cfg)
    with pytest.raises(InputError, match="ended without a checkpoint"):
        attempt.finish({"val_top1": 0.5})
    assert (tmp_path / "results.json").read_text() == "of the fine-tuning before"


def test_metrics_of_several_attempts_are_joined(tmp_path: Path, cfg: dict[str, Any]) -> None:
    attempt = Attempt(tmp_path, cfg)
    write_part(attempt, 0, [{"step": 3, "loss": 3.0}, {"step": 7, "loss": 2.0}])
    write_part(attempt, 4, [{"step": 7, "loss": 1.0, "val": 0.5}, {"step": 11, "loss": 0.5}])
    write_part(attempt, 12, [{"step": 15, "loss": 0.1}])
    header, rows = joined_metrics(attempt.folder / "metrics")
    assert header == ["loss", "step", "val"]
    assert rows == [["3.0", "3", ""], ["1.0", "7", "0.5"], ["0.5", "11", ""], ["0.1", "15", ""]]
    assert joined_metrics(tmp_path / "nothing") == ([], [])


def test_the_sampler_goes_to_any_epoch() -> None:
    whole = SeededSampler(5, seed=1)
    epochs = [list(whole) for _ in range(3)]
    assert epochs[0] != epochs[2]
    resumed = SeededSampler(5, seed=1)
    resumed.set_epoch(2)
    assert list(resumed) == epochs[2]


def test_the_random_state_is_kept() -> None:
    torch.manual_seed(3)
    state = RandomState().state_dict()
    expected = torch.rand(4)
    torch.rand(7)
    resumed = RandomState()
    resumed.load_state_dict(state)
    resumed.on_train_start(None, None)  # type: ignore[arg-type]
    assert torch.equal(torch.rand(4), expected)


def _hold(directory: Path) -> None:
    with exclusive(directory):
        (directory / "held").touch()
        time.sleep(60)


def test_a_killed_job_gives_its_lock_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fork = multiprocessing.get_context("fork")
    holder = fork.Process(target=_hold, args=(tmp_path,))
    holder.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.05)
    assert holder.pid is not None
    watch = fork.Process(target=_kill_later, args=(holder.pid,))
    watch.start()
    start = time.monotonic()
    with caplog.at_level("INFO"), exclusive(tmp_path):
        assert time.monotonic() - start > 0.2
    assert "Another job is fine-tuning" in caplog.text
    holder.join()
    watch.join()


def _kill_later(pid: int) -> None:
    time.sleep(0.5)
    os.kill(pid, signal.SIGKILL)


class Climber(pl.LightningModule):
    """Better in every epoch; notes in which it is validated, and may be killed in one."""

    def __init__(self, killed_in: int | None = None) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.validated: list[int] = []
        self.killed_in = killed_in

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        if self.current_epoch == self.killed_in:
            raise SystemExit
        return self.layer(batch).sum()

    def validation_step(self, batch: torch.Tensor, batch_idx: int) -> None:
        self.validated.append(self.current_epoch)
        self.log("val/top1", float(self.current_epoch))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


@pytest.mark.parametrize(
    ("epochs", "interval", "validated"),
    [(5, 2, [1, 3, 4]), (4, 2, [1, 3]), (2, 9, [1]), (3, 1, [0, 1, 2])],
)
def test_the_last_epoch_is_validated_and_can_be_the_best(
    epochs: int, interval: int, validated: list[int], tmp_path: Path
) -> None:
    loader = DataLoader(torch.ones(1, 1))  # type: ignore[arg-type]

    def fit(model: Climber, ckpt: Path | None = None) -> ModelCheckpoint:
        best = ModelCheckpoint(tmp_path, "best", monitor="val/top1", mode="max",
                               enable_version_counter=False)  # fmt: skip
        last = ModelCheckpoint(tmp_path, "last", every_n_epochs=1, save_on_train_epoch_end=True,
                               enable_version_counter=False)  # fmt: skip
        trainer = pl.Trainer(
            accelerator="cpu", max_epochs=epochs, check_val_every_n_epoch=interval, logger=False,
            enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
            callbacks=[best, last, LastEpochValidated()],
        )  # fmt: skip
        trainer.fit(model, loader, loader, ckpt_path=ckpt)
        return best

    whole = Climber()
    assert fit(whole).best_model_score == epochs - 1
    assert whole.validated == validated

    killed, resumed = Climber(killed_in=epochs - 1), Climber()
    with pytest.raises(SystemExit):
        fit(killed)
    assert fit(resumed, tmp_path / "last.ckpt").best_model_score == epochs - 1
    assert killed.validated + resumed.validated == validated
