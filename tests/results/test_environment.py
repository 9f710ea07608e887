"""The commit is that of the files, or none."""

import subprocess
from pathlib import Path

import torch

from vitprune.results.environment import commit, environment


def git(directory: Path, *arguments: str) -> str:
    names = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", "-C", str(directory), *names, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_commit_says_when_files_were_changed(tmp_path: Path) -> None:
    assert commit(tmp_path) is None
    git(tmp_path, "init", "-q")
    (tmp_path / "package").mkdir()
    file = tmp_path / "package" / "a.py"
    file.write_text("1")
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "-qm", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit(tmp_path / "package") == head
    file.write_text("2")
    assert commit(tmp_path / "package") == f"{head}+"
    (tmp_path / "site").mkdir()
    assert commit(tmp_path / "site") is None


def test_versions_are_those_installed() -> None:
    found = environment()
    assert torch.__version__.startswith(found["torch"])
    assert found["cpus"] >= 1
