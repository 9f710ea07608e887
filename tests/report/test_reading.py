"""Cells are found by what lies in them, not by how their folders are called."""

import json
from pathlib import Path

import pytest
from made_up_cells import write_cell, write_config

from vitprune.errors import InputError
from vitprune.results.reading import read_sweep


def test_cells_failures_and_the_command_are_read(grid: Path) -> None:
    sweep = read_sweep(grid)
    assert len(sweep.cells) == 18
    (failed,) = sweep.failed
    assert failed.error == "RuntimeError: no luck"
    assert failed.settings is not None
    assert (failed.settings.dataset, failed.settings.metric) == ("ucf101", "JSD")
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
    config = {"runs": "runs", "seed": 0, "hydra": {"overrides": {"task": given}}}
    (tmp_path / "multirun.yaml").write_text(json.dumps(config))
    assert read_sweep(tmp_path).command == given


def test_folders_may_have_any_name_and_the_newest_of_two_counts(tmp_path: Path) -> None:
    write_cell(tmp_path, where="monday/3", right=0.5)
    new = write_cell(tmp_path, where="monday/1", right=0.75)
    write_cell(tmp_path, where="tuesday", metric="JSD")
    train = tmp_path / "train/dai/mvit/results.json"
    train.write_text(json.dumps({"model": {"name": "mvit"}, "val_top1": 0.9}))
    sweep = read_sweep(tmp_path)
    assert {cell.path.name for cell in sweep.cells} == {new.name, "tuesday"}
    assert sweep.older == 1


def test_a_damaged_file_is_a_failure_and_a_lacking_one_is_none(tmp_path: Path) -> None:
    cell = write_cell(tmp_path)
    broken = write_cell(tmp_path, metric="JSD")
    (broken / "results.json").write_text('{"model":')
    for name in ("predictions.csv", "scores.csv"):
        (cell / name).unlink()
    sweep = read_sweep(tmp_path)
    assert sweep.cells[0].answers is None
    assert sweep.cells[0].relevance is None
    assert sweep.cells[0].curve is None
    assert [failed.error for failed in sweep.failed] == ["results.json cannot be read"]


def test_a_configuration_that_was_cut_off_keeps_nothing_from_being_read(tmp_path: Path) -> None:
    write_cell(tmp_path)
    killed = tmp_path / "killed"
    write_config(killed, "dai", "mvit", "JSD", "lowest", 5)
    config = killed / ".hydra" / "config.yaml"
    text = config.read_text()
    for end in range(0, len(text), 7):
        config.write_text(text[:end])
        (tmp_path / "multirun.yaml").write_text(text[:end])
        assert len(read_sweep(tmp_path).cells) == 1


@pytest.mark.parametrize("exists", [True, False])
def test_nothing_to_read_is_bad_input(tmp_path: Path, exists: bool) -> None:
    directory = tmp_path if exists else tmp_path / "nowhere"
    with pytest.raises(InputError, match=r"no results\.json" if exists else "no directory"):
        read_sweep(directory)
