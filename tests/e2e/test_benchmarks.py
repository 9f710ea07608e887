"""Every benchmark runs; what it measures at this size has no meaning."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from in_process import call
from small_commands import ROOT

TELLS = {"decoding": "h.264", "reader_fuzz": "damaged files"}
"""What a table has in it that is not about models."""
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.fixture(autouse=True)
def commands_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a benchmark runs with Python has no process of its own: importing takes longer."""
    run = subprocess.run

    def run_here(
        words: Sequence[str],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        **how: Any,
    ) -> subprocess.CompletedProcess[str]:
        if words[0] != sys.executable:
            return run(words, cwd=cwd, env=env, **how)
        program, *arguments = words[1:]
        return call(program, arguments, cwd or Path.cwd(), env or os.environ.copy())

    monkeypatch.setattr(subprocess, "run", run_here)


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_it_ends_with_its_table(script: Path, tmp_path: Path) -> None:
    if script.stem == "forward":
        pytest.importorskip("transformers")
    if script.stem == "torch_pruning_neurons":
        pytest.importorskip("torch_pruning")
    if script.stem == "deploy":
        for package in ("onnxscript", "onnxruntime", "openvino"):
            pytest.importorskip(package)
    done = call(str(script), ["--tiny"], tmp_path, {**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert TELLS.get(script.stem, "timesformer") in done.stdout.lower()
    assert list(tmp_path.iterdir()) == []
