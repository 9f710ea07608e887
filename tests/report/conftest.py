"""A sweep to report on."""

from pathlib import Path

import pytest
from made_up_cells import write_grid


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """The sweep that :func:`write_grid` makes, of the test alone."""
    return write_grid(tmp_path)
