"""What the documents show for those who have no vitprune."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from documented import fenced
from small_commands import ROOT

from vitprune.deploy import Bundle

ABSENT = ("vitprune", "torch", "torchvision", "timm", "pytorch_lightning")


@pytest.mark.parametrize("sampling", ["uniform", "dense"])
def test_the_example_agrees_with_vitprune(
    sampling: str, bundle: Path, stand_ins: Path, tmp_path: Path
) -> None:
    plain = json.loads((bundle / "bundle.json").read_text())
    plain["clip"] |= {"sampling": sampling, "stride": 2}
    plain["models"] = plain["models"][:1]
    (tmp_path / "bundle.json").write_text(json.dumps(plain))
    (tmp_path / "model.onnx").symlink_to(bundle / "model.onnx")
    (example,) = (
        code for code in fenced(ROOT / "docs" / "deploy.md", "python") if "av.open" in code
    )
    (tmp_path / "example.py").write_text(
        f"import sys\nsys.modules.update(dict.fromkeys({ABSENT}))\n{example}"
    )
    for video in list((stand_ins / "demo_dai").rglob("*.mp4"))[:2]:
        words = [sys.executable, "example.py", str(tmp_path), str(video)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        expected = Bundle.load(tmp_path).classify(video)
        assert json.loads(done.stdout.replace("'", '"')) == pytest.approx(expected, abs=1e-6)
