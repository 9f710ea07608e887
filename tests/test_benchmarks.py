"""Every benchmark runs; what it measures at this size has no meaning."""

import os
from pathlib import Path

import pytest
from in_process import call

TELLS = {"decoding": "h.264", "reader_fuzz": "damaged files"}
"""What a table has in it that is not about models."""
BENCHMARKS = sorted((Path(__file__).resolve().parent.parent / "benchmarks").glob("*.py"))


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
