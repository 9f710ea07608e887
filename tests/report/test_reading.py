"""Cells are found by what lies in them, not by how their folders are called."""

import json
import os
from pathlib import Path

import pytest
from made_up_cells import write_cell, write_started

from vitprune.errors import InputError
from vitprune.report.writing import write_report
from vitprune.results.reading import read_answers, read_scores, read_sweep


def test_cells_failures_and_the_command_are_read(grid: Path) -> None:
    sweep = read_sweep(grid)
    assert len(sweep.finished) == 18
    (failed,) = sweep.cells[sweep.cells["state"] == "failed"].itertuples()
    assert failed.error == "RuntimeError: no luck"
    assert (failed.dataset, failed.metric, failed.k) == ("ucf101", "JSD", 5)
    assert len(sweep.unfinished) == 2
    assert sweep.asked == {
        "dataset": ["dai", "ucf101"],
        "model": ["mvit", "timesformer"],
        "metric": ["JSD", "dProb", "R"],
        "direction": ["lowest", "highest"],
    }


def test_the_command_is_read_as_it_was_given(tmp_path: Path) -> None:
    write_cell(tmp_path)
    given = ["seed=0,1", "fine_tuned=${runs}/${seed}"]
    (tmp_path / "sweep.json").write_text(json.dumps({"command": given, "asked": {}}))
    assert read_sweep(tmp_path).command == given


def test_folders_may_have_any_name_and_the_newest_of_two_counts(tmp_path: Path) -> None:
    write_cell(tmp_path, where="monday/3", right=0.5)
    new = write_cell(tmp_path, where="monday/1", right=0.75)
    write_cell(tmp_path, where="tuesday", metric="JSD")
    train = tmp_path / "train/dai/mvit/results.json"
    train.write_text(json.dumps({"model": {"name": "mvit"}, "val_top1": 0.9}))
    sweep = read_sweep(tmp_path)
    assert {path.name for path in sweep.cells["path"]} == {new.name, "tuesday"}
    assert sweep.older == 1


def test_a_damaged_file_is_a_failure_and_a_lacking_one_is_none(tmp_path: Path) -> None:
    cell = write_cell(tmp_path)
    broken = write_cell(tmp_path, metric="JSD")
    (broken / "results.json").write_text('{"model":')
    for name in ("predictions.csv", "scores.csv"):
        (cell / name).unlink()
    sweep = read_sweep(tmp_path)
    assert sweep.cells["state"].tolist() == ["failed", "finished"]
    assert read_answers(cell).empty
    assert read_scores(cell).empty
    assert sweep.cells["error"].tolist() == ["results.json cannot be read", None]


def test_a_file_that_was_cut_off_keeps_nothing_from_being_read(tmp_path: Path) -> None:
    write_cell(tmp_path)
    killed = tmp_path / "killed"
    write_started(killed, "dai", "mvit", "JSD", "lowest", 5)
    started = killed / "started.json"
    text = started.read_text()
    for end in range(0, len(text), 7):
        started.write_text(text[:end])
        (tmp_path / "sweep.json").write_text(text[:end])
        assert len(read_sweep(tmp_path).cells) == 1


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_to_read_is_bad_input(tmp_path: Path, exists: bool) -> None:
    directory = tmp_path if exists else tmp_path / "nowhere"
    with pytest.raises(InputError, match=r"no results\.json" if exists else "no directory"):
        read_sweep(directory)


def test_a_sweep_of_before_there_was_a_started_json_shows_what_ended(grid: Path) -> None:
    for name in ("started.json", "sweep.json"):
        for path in grid.rglob(name):
            path.unlink()
    states = read_sweep(grid).cells["state"].value_counts()
    assert states.to_dict() == {"finished": 18, "failed": 1}
    assert "JSD-highest-k5</code>: RuntimeError: no luck" in write_report(grid).read_text()


def test_numbers_stay_whole_beside_cells_of_which_nothing_is_known(tmp_path: Path) -> None:
    write_cell(tmp_path)
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "failure.json").write_text('{"error": "no luck", "overrides": []}')
    write_started(tmp_path / "other", "dai", "mvit", "R", "lowest", 5, seed=1)
    groups = [group for group in read_sweep(tmp_path).cells["group"] if group]
    assert [group.label for group in groups] == [
        "MViT (5 layers pruned, seed=0)", "MViT (5 layers pruned, seed=1)",
    ]  # fmt: skip


def test_results_of_the_job_before_are_not_those_of_one_that_failed_or_goes_on(
    tmp_path: Path,
) -> None:
    cell = write_cell(tmp_path)
    assert read_sweep(tmp_path).cells["state"].tolist() == ["finished"]
    later = (cell / "results.json").stat().st_mtime + 10
    (cell / "started.json").write_text(json.dumps({"overrides": []}))
    os.utime(cell / "started.json", (later, later))
    (cell / "failure.json").write_text(json.dumps({"error": "no luck", "overrides": []}))
    (failed,) = read_sweep(tmp_path).cells.itertuples()
    assert (failed.state, failed.error) == ("failed", "no luck")
    (cell / "failure.json").unlink()
    settings = json.loads((cell / "results.json").read_text())["settings"]
    (cell / "started.json").write_text(json.dumps({"overrides": [], "settings": settings}))
    os.utime(cell / "started.json", (later, later))
    assert read_sweep(tmp_path).cells["state"].tolist() == ["started"]
