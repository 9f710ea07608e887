"""What the commands print is for the user."""

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

NOT_FOR_THE_USER = (
    r"[Ww]arning: |WARNING",
    r"\bdeprecat",
    r"site-packages",
    r"no logger configured",
    r"litlogger|💡|wandb leet|wandb online|W&B version",
    r"many workers",
    r"logging interval",
    r"(GPU|TPU) available",
    r"`Trainer|`train_dataloader`",
    r"DistributedSampler",
    r"lr-AdamW|/pg\d",
    r"v_num",
    r"Run (history|summary)",
)


def assert_clean(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    lines = [
        line for line in said.splitlines() for what in NOT_FOR_THE_USER if re.search(what, line)
    ]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("logger", [[], ["logger=none"]], ids=["wandb", "none"])
def test_only_what_is_for_the_user_is_printed(logger: list[str], run: Run, directory: Path) -> None:
    runs = directory / f"output-{len(logger)}"
    shared = [f"runs={runs}", *logger]
    model = ["model=mvit", "model.recipe.layer_decay=0.75"]
    trained = run("train", *model, "trainer.log_every_n_steps=1", *shared)
    assert_clean(trained)
    metrics = next(runs.glob("train/*/mvit/metrics.csv"))
    rates = [name for name in next(csv.reader(metrics.open())) if "lr" in name]
    assert rates == ["lr"]
    assert trained.stdout.count("W&B: wandb sync") == (not logger)
    ckpt = f"ckpt={metrics.parent / 'best.ckpt'}"
    smaller = f"ckpt={runs}/s/demo_dai/mvit/R-lowest-k12/pruned.ckpt"  # whose curves are short
    for done in (
        run("prune", "-m", *model, "k=12", "metric=JSD,R", f"hydra.sweep.dir={runs}/s", *shared),
        run("prune", *model, smaller, "k=2", "curves=true", "draws=1", *shared),
        run("evaluate", ckpt, *shared),
        run("evaluate", ckpt, "explain=relevance", *shared),
    ):
        assert_clean(done)
