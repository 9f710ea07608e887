"""How a command ends when something goes wrong outside its jobs."""

import os
import signal
from collections.abc import Callable

import pytest

from vitprune.launch.commands import FULL_ERROR, main


@pytest.fixture
def end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Callable[[], object]], tuple[int, list[str]]]:
    """Runs prune.py with what stands for Hydra; the exit status and what it says on stderr."""
    monkeypatch.setattr("sys.argv", ["prune.py"])
    monkeypatch.setattr(signal, "signal", lambda *given: None)
    monkeypatch.setenv(FULL_ERROR, "0")

    def end(command: Callable[[], object]) -> tuple[int, list[str]]:
        with pytest.raises(SystemExit) as caught:
            main("prune", command)  # type: ignore[arg-type]
        assert isinstance(caught.value.code, int)
        return caught.value.code, capsys.readouterr().err.splitlines()

    return end


def test_a_killed_worker_of_joblib_ends_the_sweep_with_one_line(
    end: Callable[[Callable[[], object]], tuple[int, list[str]]],
) -> None:
    joblib = pytest.importorskip("joblib")
    jobs = [joblib.delayed(os._exit)(9), joblib.delayed(os.getpid)()]
    status, (line,) = end(lambda: joblib.Parallel(n_jobs=2, backend="loky")(jobs))
    assert status == 1
    assert line.startswith("error: a process that ran cells was killed")
    assert "run the same command again" in line
