"""Wrong values on the command line are refused in one line, before torch is even imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from vitprune.launch.arguments import check_arguments, keep_names

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("model=vivit", "model takes mvit, timesformer, video_swin"),
        ("model=mvit,vivit", "model=vivit is unknown"),
        ("dataset=kinetics", "dataset takes dai, demo_dai, demo_ucf101, ucf101"),
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


def test_names_of_heads_are_no_numbers() -> None:
    given = ["head=22.10", "other_head=3.time.5", "k=5", "head=22.4,22.10", "head=[1.0, 1.10]"]
    kept = ["head='22.10'", "other_head='3.time.5'", "k=5", "head='22.4,22.10'", "head='1.0, 1.10'"]
    assert keep_names(given) == kept
    assert keep_names(["-m", "head=22.4,22.10"]) == ["-m", "head='22.4','22.10'"]
    assert keep_names(["head=null", "head='1.0'"]) == ["head=null", "head='1.0'"]


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
