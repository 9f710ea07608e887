"""When a cell counts as finished, and where it says that it failed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from vitprune.files import file_digest, files_digest, files_digest_of
from vitprune.launch import cells
from vitprune.results.writing import publishing

SETTINGS: dict[str, Any] = {"metric": "R", "k": 5, "seed": 0, "dataset": {"root": "nowhere"}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "best.ckpt"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def cell(tmp_path: Path, checkpoint: Path) -> Path:
    """The directory of a finished cell."""
    directory = tmp_path / "cell"
    directory.mkdir()
    results = {
        "k": 5, "ckpt": str(checkpoint), "ckpt_digest": file_digest(checkpoint),
        "asked": SETTINGS, "dataset": {"name": "demo"},
    }  # fmt: skip
    with publishing(directory, results):
        pass
    return directory


def test_a_cell_with_results_of_the_same_settings_is_finished(cell: Path, checkpoint: Path) -> None:
    results = cells.finished(cell, SETTINGS, checkpoint)
    assert results is not None
    assert results["k"] == 5


def test_a_cell_of_other_settings_is_not(
    cell: Path, checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        assert cells.finished(cell, {**SETTINGS, "seed": 1}, checkpoint) is None
    assert "holds a cell of another seed" in caplog.text


def test_a_cell_without_or_with_damaged_results_is_not(cell: Path, checkpoint: Path) -> None:
    (cell / "results.json").write_text('{"k": 5')
    assert cells.finished(cell, SETTINGS, checkpoint) is None
    (cell / "results.json").unlink()
    assert cells.finished(cell, SETTINGS, checkpoint) is None


def test_a_cell_goes_by_what_its_checkpoint_is_not_by_where_or_when(
    cell: Path, checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.utime(checkpoint, (2e9, 2e9))
    assert cells.finished(cell, SETTINGS, checkpoint) is not None
    elsewhere = tmp_path / "elsewhere.ckpt"
    elsewhere.write_bytes(b"weights")
    assert cells.finished(cell, SETTINGS, elsewhere) is not None
    elsewhere.write_bytes(b"others!")
    with caplog.at_level("INFO"):
        assert cells.finished(cell, SETTINGS, elsewhere) is None
    assert "another checkpoint" in caplog.text


def test_a_checkpoint_need_not_be_kept_but_another_one_is_another(
    cell: Path, checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint.unlink()
    assert cells.finished(cell, SETTINGS, checkpoint) is not None
    assert cells.finished(cell, SETTINGS, tmp_path / "never/made.ckpt") is None


def test_a_cell_of_other_data_is_not(tmp_path: Path, checkpoint: Path) -> None:
    root = tmp_path / "data"
    root.mkdir()
    (root / "v.mp4").write_bytes(b"frames")
    settings = {**SETTINGS, "dataset": {"root": str(root)}}
    results = {
        "ckpt": str(checkpoint), "ckpt_digest": file_digest(checkpoint), "asked": settings,
        "dataset": {"files": files_digest(root)},
    }  # fmt: skip
    with publishing(tmp_path / "cell", results):
        pass
    assert cells.finished(tmp_path / "cell", settings, checkpoint) is not None
    (root / "v.mp4").write_bytes(b"other frames")
    files_digest_of.cache_clear()
    assert cells.finished(tmp_path / "cell", settings, checkpoint) is None


def test_results_are_there_only_while_they_are_of_the_files_beside_them(cell: Path) -> None:
    def interrupted() -> None:
        with publishing(cell, {"k": 6}):
            assert not (cell / "results.json").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not (cell / "results.json").exists()


def test_failures_are_found_by_cell(tmp_path: Path) -> None:
    cells.record_failure(tmp_path / "demo_dai/mvit/R", "k=99 is out of range", ["k=99"])
    ((name, (line, _)),) = cells.failures(tmp_path).items()
    assert (name, line) == ("demo_dai/mvit/R", "k=99 is out of range")
    values = json.loads((tmp_path / name / "failure.json").read_text())
    assert values == {"error": line, "overrides": ["k=99"]}
