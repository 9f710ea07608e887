"""With which versions, from which commit and on what machine something ran."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import vitprune

PACKAGES = ("torch", "torchvision", "pytorch-lightning", "timm", "hydra-core")
"""Those on which the figures may depend."""


def environment() -> dict[str, Any]:
    """Versions, commit and machine, as ``results.json`` keeps them."""
    return {
        "vitprune": vitprune.__version__,
        "commit": commit(Path(vitprune.__file__).parent),
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def commit(directory: Path) -> str | None:
    """The Git commit whose files ``directory`` holds, ``+`` behind it where they were changed.

    None where the directory's files are not under Git, or there is no Git.
    """

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if not git("ls-files", "."):  # a package that is merely installed below some work tree
            return None
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
