"""The commands on a very small stand-in."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from in_process import call
from small_commands import ROOT, command, environment
from torch import Tensor

from vitprune.models.chain import VideoTransformer
from vitprune.pruning.budget import fewest, measured
from vitprune.pruning.cost import costs, count_flops, latencies
from vitprune.pruning.unit_costs import latency_shares

Run = Callable[..., subprocess.CompletedProcess[str]]
Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(scope="session", autouse=True)
def hurried() -> Iterator[None]:
    """Latency is taken of five turns, and not of as many as there are in two seconds; the FLOPs of
    models of the same make are counted once."""
    known: dict[tuple[object, ...], int] = {}

    def count_once(model: VideoTransformer, clip: Tensor) -> int:
        shapes = [(name, values.shape) for name, values in model.state_dict().items()]
        make = (str(model), *shapes, clip.shape)
        if make not in known:
            known[make] = count_flops(model, clip)
        return known[make]

    with pytest.MonkeyPatch.context() as patch:
        for function in (latencies, costs, measured, fewest, latency_shares):
            patch.setitem(function.__kwdefaults__, "seconds", 0.0)
        patch.setattr("vitprune.pruning.cost.count_flops", count_once)
        yield


@pytest.fixture(scope="session")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all commands of the session keep their data and runs."""
    return tmp_path_factory.mktemp("e2e")


@pytest.fixture(scope="session")
def run(directory: Path) -> Run:
    """Runs a command in this process: ``run("prune", "metric=R")``."""

    def run(task: str, *arguments: str, small: bool = True) -> subprocess.CompletedProcess[str]:
        program, *rest = command(directory, task, arguments, small)
        return call(str(ROOT / program), rest, ROOT, environment(directory))

    return run


@pytest.fixture(scope="session")
def run_alone(directory: Path) -> Run:
    """Runs a command as a user would, in a process of its own."""

    def run(task: str, *arguments: str, small: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command(directory, task, arguments, small)],
            cwd=ROOT,
            env=environment(directory),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def pruned(run_alone: Run, directory: Path) -> Path:
    """The directory of a run that had to fine-tune first; of others, too, it is the checkpoint."""
    done = run_alone("prune", "model=mvit", "k=3", f"hydra.run.dir={directory / 'first'}")
    assert done.returncode == 0, done.stderr
    assert "fine-tuning mvit first" in done.stdout
    assert "Top-1" in done.stdout
    assert "Dropped layers:" in done.stdout
    assert f"Results: {directory / 'first'}" in done.stdout
    assert "litlogger" not in done.stdout + done.stderr
    return directory / "first"


@pytest.fixture(scope="session")
def start(directory: Path) -> Start:
    """Starts a command in a process group of its own, its output in ``log``."""

    def start(task: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
        with log.open("wb") as file:
            return subprocess.Popen(
                [sys.executable, *command(directory, task, arguments, small=True)],
                cwd=ROOT,
                env=environment(directory),
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    return start
