"""Wrong values on the command line are refused in one line, before torch is even imported."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vitprune.launch.arguments import check_arguments
from vitprune.launch.configuration import parse

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("model=vivit", "model takes hub, mvit, timesformer, video_swin"),
        ("model=mvit,vivit", "model=vivit is unknown"),
        ("dataset=kinetics", "dataset takes ai_city, dai, demo_dai, demo_ucf101, dmd"),
        ("trainer=tpu", "trainer takes cpu, ddp, default, gpu"),
    ],
)
def test_refuses_in_one_line(argument: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        check_arguments("prune", ["seed=3", argument])
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("key", ["head", "other_head"])
def test_several_heads_are_a_list(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        check_arguments("evaluate", [f"{key}=4.1,19.10"])
    assert capsys.readouterr().err == (
        f"error: {key}=4.1,19.10 is a sweep, a job for each; write '{key}=[4.1,19.10]' for all in "
        "one job, or add -m\n"
    )
    for fine in ("[4.1,19.10]", "[4h1,3.time.h5]", "'4.1,19.10'", "4h1", "22.10", "null"):
        check_arguments("evaluate", [f"{key}={fine}"])
    for multirun in ("-m", "--multirun", "hydra.mode=MULTIRUN"):
        check_arguments("evaluate", [f"{key}=4.1,19.10", multirun])


def test_heads_are_read_as_they_are_written(composed: Callable[..., Any]) -> None:
    """Only 22.1 and 22.10 are one number; what reads heads knows which of them there is."""
    for written, read in {
        "22h10": "22h10", "3.time.h5": "3.time.h5", "'22.10'": "22.10", "22.10": 22.1,
        "[4h1,19h10]": ["4h1", "19h10"], "[4.1,3.time.5]": [4.1, "3.time.5"],
    }.items():  # fmt: skip
        values = composed("evaluate", "ckpt=x", f"head={written}")
        assert parse(values).head == values["head"] == read


@pytest.mark.parametrize(
    "arguments",
    [
        ["model=mvit", "metric=R", "k=5"],
        ["-m", "model=timesformer,video_swin,mvit", "metric=JSD,dProb,R", "dataset=ucf101,dai"],
        ["~logger", "+trainer.fast_dev_run=true", "hydra.job.chdir=false", "logger=null"],
        ["--help"],
    ],
)
def test_lets_the_rest_pass(arguments: list[str]) -> None:
    check_arguments("prune", arguments)


def test_a_key_of_another_command_is_none_of_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        check_arguments("train", ["metric=R"])
    assert "train.py has no key metric" in capsys.readouterr().err


def test_refusal_does_not_wait_for_torch() -> None:
    code = (
        "import sys; from vitprune.launch.arguments import check_arguments\n"
        "assert 'torch' not in sys.modules; check_arguments('prune', ['model=vivit'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
