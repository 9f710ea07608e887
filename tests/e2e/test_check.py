"""``python -m vitprune.data.check``."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from in_process import call
from small_commands import ROOT, SMALL, environment

Check = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def check(directory: Path, tmp_path: Path) -> Check:
    """Checks a dataset in this process; what is found goes to the test's own directory."""

    def check(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [*arguments, f"runs={tmp_path}"]
        return call("-mvitprune.data.check", words, ROOT, environment(directory))

    return check


def test_a_sound_dataset_and_one_that_is_not(
    check: Check, directory: Path, tmp_path: Path, open_page: Callable[..., object]
) -> None:
    done = check("dataset=demo_dai", *SMALL[:2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing is wrong (every frame was decoded)" in done.stdout
    facts = json.loads((tmp_path / "check" / "demo_dai" / "check.json").read_text())
    assert facts["wrong"] == 0
    assert len(facts["classes"]) > 2

    broken = tmp_path / "broken"
    shutil.copytree(directory / "data" / "demo_dai", broken)
    victim = sorted(broken.glob("videos/**/*.mp4"))[0]
    victim.write_bytes(b"nothing")
    done = check("dataset=dai", f"dataset.root={broken}", "decode=false")
    assert done.returncode == 1
    assert f"{victim.name}: cannot be read as a video" in done.stdout
    facts = json.loads((tmp_path / "check" / "dai" / "check.json").read_text())
    assert [finding["kind"] for finding in facts["findings"]] == ["unreadable"]
    page = open_page(tmp_path / "check" / "dai" / "check.html")
    assert page.locator("h1").inner_text() == "dai"  # type: ignore[attr-defined]
    assert page.locator(".classes img").count() >= len(facts["classes"]) - 1  # type: ignore[attr-defined]
    assert victim.name in page.locator("#found ~ .scroll").inner_text()  # type: ignore[attr-defined]
    assert not page.requests  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["dataset=nothing"], "dataset=nothing is unknown; dataset takes ai_city, dai, demo_dai"),
        (["k=3"], "-m vitprune.data.check has no key k"),
        (["decode=maybe"], "decode=maybe is out of range; it takes true or false"),
        (["dataset=dmd", "dataset.root=/nowhere"], "no directory /nowhere, where dmd should be"),
    ],
)
def test_wrong_arguments(check: Check, words: list[str], line: str) -> None:
    done = check(*words)
    assert done.returncode == 2
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
