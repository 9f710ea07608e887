"""Bundles are read without torch, and are shown what vitprune shows its models."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vitprune.data.dataset import Clip, ClipSpec, VideoDataset
from vitprune.deploy import Bundle, export
from vitprune.deploy.clips import ClipRule, normalised, pixels_of, read_pixels
from vitprune.deploy.description import DESCRIPTION
from vitprune.deploy.exporting import EAGER
from vitprune.deploy.module import classifier_of
from vitprune.deploy.runtimes import open_model
from vitprune.errors import InputError
from vitprune.training import VideoClassifier

Make = Callable[..., VideoClassifier]
ABSENT = (
    "torch", "torchvision", "torchmetrics", "timm", "pytorch_lightning", "lightning_fabric",
    "transformers", "hydra", "omegaconf", "pydantic", "PIL", "filelock", "scipy", "pandas", "rich",
)  # fmt: skip
WITHOUT = f"""
import sys

sys.modules.update(dict.fromkeys({ABSENT}))  # as if they were not installed
"""


def without_torch(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code where only NumPy, PyAV and the runtimes can be imported."""
    words = [sys.executable, "-c", WITHOUT + code, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True)


def shown(video: Path, spec: ClipSpec) -> torch.Tensor:
    """The clip that vitprune's evaluation shows a model: [3, T, H, W]."""
    dataset = VideoDataset([Clip(video, 0)], ["a"], spec, root=video.parent)
    return dataset[0]["clips"][0]


@pytest.fixture(scope="module")
def video(stand_ins: Path) -> Path:
    return next((stand_ins / "demo_dai").rglob("*.mp4"))


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_video_is_classified_without_torch(
    runtime: str, bundle: Path, video: Path, classifier: Make
) -> None:
    code = """
import json
from vitprune.deploy import Bundle
bundle = Bundle.load(sys.argv[1], sys.argv[2])
found = bundle.classify(sys.argv[3])
print(json.dumps([found, [name for name, module in sys.modules.items() if module]]))
"""
    done = without_torch(code, bundle, runtime, video)
    assert done.returncode == 0, done.stderr
    found, modules = json.loads(done.stdout)
    assert not set(ABSENT) & set(modules)
    one = classifier("mvit", "pruned")
    with torch.inference_mode():
        expected = one(shown(video, ClipSpec(**one.clip_settings))[None]).softmax(1)[0]
    assert list(found) == one.class_names
    assert np.abs(np.array(list(found.values())) - expected.numpy()).max() < 1e-6


@pytest.mark.parametrize("sampling", ["uniform", "dense"])
@pytest.mark.parametrize("size", [24, 48, 64])
def test_clips_are_those_of_vitprune(sampling: str, size: int, video: Path) -> None:
    rule = ClipRule(5, sampling, 2, size, (0.4, 0.45, 0.5), (0.2, 0.225, 0.25))  # type: ignore[arg-type]
    expected = shown(video, ClipSpec(**vars(rule))).numpy()
    pixels = read_pixels(video, rule)
    assert np.array_equal(normalised(pixels, rule), expected)
    assert np.array_equal(pixels_of(expected, rule), pixels)


def test_small_videos_are_enlarged_to_within_a_level(video: Path) -> None:
    rule = ClipRule(3, "uniform", 1, 200, (0.0,) * 3, (1.0,) * 3)  # type: ignore[arg-type]
    expected = shown(video, ClipSpec(**vars(rule))).numpy()
    assert np.abs(normalised(read_pixels(video, rule), rule) - expected).max() * 255 < 1.001


def test_it_says_what_it_is(bundle: Path) -> None:
    plain = json.loads((bundle / DESCRIPTION).read_text())
    assert plain["classes"] == ["drink", "phone", "talk"]
    assert plain["clip"]["num_frames"] == 4
    assert plain["clip"]["colours"] == "RGB"
    assert plain["input"]["shape"] == [1, 3, 4, 32, 32]
    assert plain["model"]["dropped"] == ["1"]
    assert plain["provenance"] == {"top1": 0.5}
    assert [one["runtime"] for one in plain["models"]] == ["onnx", "openvino", "torch"]
    assert [row["model"] for row in plain["measured"]] == [EAGER, "onnx", "openvino", "torch"]
    for row, one in zip(plain["measured"][1:], plain["models"], strict=True):
        assert row["deviation"] <= one["tolerance"] == 1e-4
        assert 0 < row["latency_ms"] <= row["latency_p95_ms"]
        assert one["bytes"] == sum((bundle / file).stat().st_size for file in one["files"])


def test_any_number_of_clips_goes_in(bundle: Path) -> None:
    opened = Bundle.load(bundle)
    clips = np.random.default_rng(0).normal(size=(3, 3, 4, 32, 32)).astype(np.float32)
    assert opened(clips).shape == (3, 3)
    assert np.allclose(opened(clips)[1:2], opened(clips[1:2]), atol=1e-6)
    with pytest.raises(ValueError, match=r"clips are \[1, 3, 8, 32, 32\]"):
        opened(np.zeros((1, 3, 8, 32, 32)))


def test_it_can_be_evaluated_as_a_classifier_is(bundle: Path, classifier: Make) -> None:
    tested, one = classifier_of(Bundle.load(bundle, "torch")), classifier("mvit", "pruned")
    assert tested.class_names == one.class_names
    assert tested.clip_settings == one.clip_settings
    assert tested.model.spec.name == "mvit"
    clips = torch.randn(2, 3, 4, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(tested(clips), one(clips), atol=1e-5, rtol=0)


def verify(directory: Path) -> subprocess.CompletedProcess[str]:
    code = "import runpy\nsys.argv[0] = 'verify'\n"
    return without_torch(code + "runpy.run_module('vitprune.deploy.verify', run_name='__main__')",
                         directory)  # fmt: skip


def test_verify_runs_it_against_its_check(bundle: Path) -> None:
    done = verify(bundle)
    assert done.returncode == 0, done.stderr
    onnx, openvino, by_torch = done.stdout.splitlines()
    assert onnx.startswith("onnx: largest deviation ")
    assert openvino.startswith("openvino: largest deviation ")
    assert by_torch == "torch: not installed"


def test_verify_says_in_one_line_what_is_wrong(bundle: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    with np.load(broken / "check.npz") as arrays:
        clips, logits = arrays["clips"], arrays["logits"]
    np.savez(broken / "check.npz", clips=clips, logits=logits + 2e-4)
    lines = [verify(broken), verify(tmp_path)]
    (broken / "check.npz").write_bytes(b"no")
    lines.append(verify(broken))
    for done, line in zip(
        lines, ("fails its check: a logit differs by 0.0002", "is no bundle", "cannot be checked"),
        strict=True,
    ):  # fmt: skip
        assert done.returncode == 1
        (error,) = done.stderr.splitlines()
        assert error.startswith("error: ")
        assert line in error


def test_what_a_runtime_cannot_run_is_said_in_one_line(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("Unheard", ["clips"], ["logits"], domain="nowhere")
    kind = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph([node], "g", [kind("clips", 1, [1])], [kind("logits", 1, [1])])
    imports = [
        onnx.helper.make_opsetid(domain, version) for domain, version in (("", 18), ("nowhere", 1))
    ]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=imports, ir_version=8), tmp_path / "m.onnx"
    )
    with pytest.raises(InputError, match=r"m\.onnx: onnxruntime [\d.]+ cannot run it: .*Unheard"):
        open_model(tmp_path / "m.onnx", "onnx")
    with pytest.raises(InputError, match=r"m\.onnx: openvino [\d.]+ cannot run it: .*Unheard"):
        open_model(tmp_path / "m.onnx", "openvino")


def test_a_bundle_that_fails_is_not_left_behind(
    bundle: Path, classifier: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vitprune.deploy.exporting.traced", lambda *_, **__: None)
    monkeypatch.setitem(
        vars(__import__("vitprune.deploy.exporting", fromlist=["x"]))["WRITERS"], "onnx",
        lambda program, place, opset, layers: shutil.copy(bundle / "model.onnx", place),
    )  # fmt: skip
    other = classifier("mvit", "bridged")
    with pytest.raises(InputError, match="onnx fails its check"):
        export(other, tmp_path / "bundle", seconds=0)
    assert not [*tmp_path.iterdir()]
    # The one that is there stays; another one takes its place.
    same = classifier("mvit", "pruned")
    assert export(same, tmp_path / "bundle", seconds=0).check() < 1e-5
    before = (tmp_path / "bundle" / "check.npz").read_bytes()
    with pytest.raises(InputError, match="onnx fails its check"):
        export(other, tmp_path / "bundle", seconds=0)
    assert (tmp_path / "bundle" / "check.npz").read_bytes() == before
    export(same, tmp_path / "bundle", seconds=0)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("kept")
    with pytest.raises(InputError, match="mine is there and is no bundle"):
        export(same, tmp_path / "mine", seconds=0)


def test_what_is_not_there_is_said(bundle: Path, tmp_path: Path) -> None:
    for arguments, line in (
        ((tmp_path,), "is no bundle: bundle.json is not there"),
        ((bundle, "tensorrt"), "has no model for tensorrt; it has onnx, openvino, torch"),
    ):
        with pytest.raises(InputError, match=line):
            Bundle.load(*arguments)
    (tmp_path / DESCRIPTION).write_text("{}")
    with pytest.raises(InputError, match=r"bundle\.json is damaged"):
        Bundle.load(tmp_path)
    (tmp_path / DESCRIPTION).write_text('{"bundle": 9}')
    with pytest.raises(InputError, match="of version 9, and this vitprune reads 1"):
        Bundle.load(tmp_path)
