"""What is measured of deployed models, each in a process of its own."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vitprune.deploy import Bundle, export
from vitprune.deploy.exporting import as_deployed
from vitprune.deploy.measuring import Candidate, measure
from vitprune.deploy.process import EAGER, ModelProcess, Opening
from vitprune.errors import InputError
from vitprune.results.statistics import proportion_interval
from vitprune.training import VideoClassifier

Make = Callable[..., VideoClassifier]


def test_models_are_measured_beside_each_other(
    bundle: Path, classifier: Make, tmp_path: Path
) -> None:
    full, pruned = (as_deployed(classifier("mvit", kind)) for kind in ("full", "pruned"))
    export(classifier("mvit"), tmp_path / "full", ("onnx",))
    clips = np.random.default_rng(0).normal(size=(6, 2, 3, 4, 32, 32)).astype(np.float32)
    shown = []

    def videos() -> Iterator[tuple[int, NDArray[np.float32]]]:
        for number, views in enumerate(clips):
            shown.append(number)
            yield number % 3, views

    candidates = [
        Candidate("full", full, tmp_path / "full", 100),
        Candidate("pruned", pruned, bundle, 60),
    ]
    rows = measure(candidates, videos(), seconds=0)
    assert shown == [0, 1, 2, 3, 4, 5]
    assert [(row["model"], row["runtime"]) for row in rows] == [
        ("full", "eager"), ("full", "onnx"),
        ("pruned", "eager"), ("pruned", "onnx"), ("pruned", "openvino"), ("pruned", "torch"),
    ]  # fmt: skip
    for row in rows:
        model = {"full": full, "pruned": pruned}[row["model"]]
        with torch.inference_mode():
            odds = model(torch.from_numpy(clips).flatten(0, 1)).softmax(1).unflatten(0, (6, 2))
        right = (odds.mean(1).argmax(1) == torch.tensor([0, 1, 2, 0, 1, 2])).sum().item()
        assert row["top1"] == right / 6
        assert row["top1_interval"] == list(proportion_interval(right, 6))
        assert 0 < row["latency_ms"] <= row["latency_p95_ms"]
        if row["runtime"] == "eager":
            assert row["deviation"] == 0
            assert "paired" not in row
        else:
            assert 0 < row["deviation"] < 1e-5
            assert row["paired"] == {
                "videos": 6, "right_to_wrong": 0, "wrong_to_right": 0, "p_value": 1.0,
            }  # fmt: skip
    # Only torch's processes have loaded torch, which takes more than all of the others together.
    light = [row["peak_bytes"] for row in rows if row["runtime"] in ("onnx", "openvino")]
    heavy = [row["peak_bytes"] for row in rows if row["runtime"] in ("eager", "torch")]
    assert 20e6 < max(light) < min(heavy) < 4e9
    latency = {(row["model"], row["runtime"]): row["latency_ms"] for row in rows}
    share = rows[3]["of_full"]
    assert share["latency"] == latency["pruned", "onnx"] / latency["full", "onnx"]
    assert share["flops"] == 0.6
    assert [("of_full" in row) for row in rows] == [False, False, True, True, False, False]
    assert not [path for path in tmp_path.iterdir() if path.name != "full"]


def opened(bundle: Path) -> ModelProcess:
    shape = (1, 3, 4, 32, 32)
    return ModelProcess("small, onnx", Opening(bundle / "model.onnx", "onnx", "float32", shape, 1))


def test_a_process_answers_as_its_model_does(bundle: Path) -> None:
    clips = np.random.default_rng(0).normal(size=(3, 3, 4, 32, 32)).astype(np.float32)
    with opened(bundle) as process:
        process.ready()
        assert np.allclose(process(clips), Bundle.load(bundle, "onnx")(clips), atol=1e-6)
        before = process.peak()
        assert process.latency(clips) > 0
        assert process.latency() > 0
        process(np.zeros((400, 3, 4, 32, 32), np.float32))  # 20 MB
        assert process.peak() > before + 15e6


@pytest.mark.parametrize("name", ["mvit", "videomae"])
def test_a_process_runs_torch_s_model(name: str, classifier: Make, tmp_path: Path) -> None:
    model = as_deployed(classifier(name))
    torch.save(model, tmp_path / "model.pt")
    clips = torch.randn(2, 3, 4, 32, 32)
    opening = Opening(tmp_path / "model.pt", EAGER, "float32", (1, 3, 4, 32, 32), 1)
    with ModelProcess(f"{name}, eager", opening) as process, torch.inference_mode():
        process.ready()
        assert np.allclose(process(clips.numpy()), model(clips), atol=1e-6)


def test_a_process_that_dies_is_one_line(bundle: Path) -> None:
    with opened(bundle) as process:
        process.ready()
        os.kill(process._process.pid, signal.SIGKILL)
        with pytest.raises(InputError) as refused:
            process.peak()
    assert str(refused.value) == (
        "small, onnx: the process that ran it ended (SIGKILL, as where memory is short)"
    )


def test_what_a_process_cannot_do_is_one_line(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no")
    with (
        opened(tmp_path) as process,
        pytest.raises(InputError, match=r"^small, onnx: \S+model.onnx: onnxruntime [\d.]+ cannot"),
    ):
        process.ready()
    with opened(bundle) as process:
        process.ready()
        with pytest.raises(InputError, match=r"^small, onnx: ValueError: cannot reshape array"):
            process(np.zeros((1, 3, 8, 32, 32), np.float32))
        assert process.peak() > 0  # it is still there
