"""What the tests of data share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def clips() -> Path:
    """Real footage, which lies beside the repository."""
    for parent in Path(__file__).resolve().parents:
        if (parent / "shared" / "clips").is_dir():
            return parent / "shared" / "clips"
    pytest.skip("no shared/clips beside the repository")
