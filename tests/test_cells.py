"""When a cell counts as finished, and where it says that it failed."""

import json
import os
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from vitprune import cells
from vitprune.settings import settings_of


@pytest.fixture
def cfg() -> DictConfig:
    return OmegaConf.create({"metric": "R", "k": 5, "seed": 0, "logger": None})


@pytest.fixture
def cell(tmp_path: Path, cfg: DictConfig) -> Path:
    """The directory of a finished cell of ``cfg``."""
    (tmp_path / "best.ckpt").touch()
    directory = tmp_path / "cell"
    directory.mkdir()
    results = {"ckpt": str(tmp_path / "best.ckpt"), "k": 5, "settings": settings_of(cfg)}
    (directory / "results.json").write_text(json.dumps(results))
    return directory


def test_a_cell_with_results_of_the_same_settings_is_finished(cell: Path, cfg: DictConfig) -> None:
    results = cells.finished(cell, cfg)
    assert results is not None
    assert results["k"] == 5
    cfg.logger = {"mode": "offline"}  # changes no number
    assert cells.finished(cell, cfg) is not None


def test_a_cell_of_other_settings_is_not(
    cell: Path, cfg: DictConfig, caplog: pytest.LogCaptureFixture
) -> None:
    cfg.seed = 1
    with caplog.at_level("INFO"):
        assert cells.finished(cell, cfg) is None
    assert "holds a cell of another seed" in caplog.text


def test_a_cell_without_or_with_damaged_results_is_not(cell: Path, cfg: DictConfig) -> None:
    (cell / "results.json").write_text('{"k": 5')
    assert cells.finished(cell, cfg) is None
    (cell / "results.json").unlink()
    assert cells.finished(cell, cfg) is None


def test_a_cell_of_a_checkpoint_that_was_made_anew_is_not(cell: Path, cfg: DictConfig) -> None:
    later = (cell / "results.json").stat().st_mtime + 10
    os.utime(cell.parent / "best.ckpt", (later, later))
    assert cells.finished(cell, cfg) is None
    (cell.parent / "best.ckpt").unlink()  # but it need not be kept
    assert cells.finished(cell, cfg) is not None


def test_a_cell_without_what_an_objective_needs_is_not(cell: Path, cfg: DictConfig) -> None:
    cfg.objective = {"_target_": "some.function"}
    assert cells.finished(cell, cfg) is None
    results = json.loads((cell / "results.json").read_text())
    (cell / "results.json").write_text(json.dumps({**results, "val": {}}))
    assert cells.finished(cell, cfg) is not None


def test_failures_are_found_by_cell(tmp_path: Path) -> None:
    cells.record_failure(tmp_path / "demo_dai/mvit/R", "k=99 is out of range", ["k=99"])
    ((name, (line, _)),) = cells.failures(tmp_path).items()
    assert (name, line) == ("demo_dai/mvit/R", "k=99 is out of range")
    values = json.loads((tmp_path / name / "failure.json").read_text())
    assert values == {"error": line, "overrides": ["k=99"]}
