"""A sweep to report on."""

from pathlib import Path

import pytest
from made_up_cells import write_asked, write_cell, write_started


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """A sweep of MViT and TimeSformer on DAI and UCF101 with a failed, a started and missing cells.

    Of the 24 cells that its command asks for, 18 are finished.
    """
    for dataset in ("dai", "ucf101"):
        for model, k in (("mvit", 5), ("timesformer", 3)):
            for metric in ("JSD", "dProb", "R"):
                for direction in ("lowest", "highest"):
                    if (dataset, model, direction) == ("ucf101", "timesformer", "highest"):
                        continue  # 3 missing
                    if (dataset, model, direction) == ("ucf101", "mvit", "highest"):
                        continue  # 1 failed, 1 started, 1 missing
                    right = 0.9 if direction == "lowest" else 0.2
                    write_cell(tmp_path, dataset, model, metric, direction, k, right=right,
                               curves=metric == "R")  # fmt: skip
    failed, started = (tmp_path / f"ucf101/mvit/{metric}-highest-k5" for metric in ("JSD", "R"))
    write_started(failed, "ucf101", "mvit", "JSD", "highest", 5)
    (failed / "failure.json").write_text('{"error": "RuntimeError: no luck", "overrides": []}')
    write_started(started, "ucf101", "mvit", "R", "highest", 5)
    write_asked(tmp_path, model=["mvit", "timesformer"])
    return tmp_path
