"""The experiments that are sweeps, and what is refused before a sweep starts."""

import errno
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import DictConfig

from vitprune.launch import cells
from vitprune.launch.arguments import CONF
from vitprune.launch.sweeps import Guard


def sweep_config(*overrides: str, task: str = "prune") -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(task, overrides=list(overrides), return_hydra_config=True)


def jobs(cfg: DictConfig) -> list[list[str]]:
    """The overrides of every cell, as Hydra's own sweeper makes them."""
    params = [f"{key}={value}" for key, value in cfg.hydra.sweeper.params.items()]
    (batch,) = BasicSweeper.split_arguments(OverridesParser.create().parse_overrides(params), None)
    return batch


def one_by_one(cells: list[list[str]]) -> list[list[str]]:
    """The first cell and those that differ from it in one value."""
    first, *_ = cells
    return [cell for cell in cells if sum(a != b for a, b in zip(cell, first, strict=True)) <= 1]


@pytest.mark.parametrize(
    ("name", "datasets"), [("table1", "ucf101 dai"), ("table1_demo", "demo_ucf101 demo_dai")]
)
def test_table1_is_36_cells(name: str, datasets: str) -> None:
    cfg = sweep_config(f"experiment={name}", "runs=R")
    assert cfg.hydra.mode == RunMode.MULTIRUN
    assert cfg.hydra.sweep.dir == f"R/sweep/{name}"
    assert cfg.calibration == "val"
    cells_of = jobs(cfg)
    assert len({tuple(cell) for cell in cells_of}) == len(cells_of) == 36
    # The first six fine-tune the six models, which jobs side by side do not wait for each other in.
    shared = [frozenset(o for o in cell if o.startswith(("dataset", "model"))) for cell in cells_of]
    assert shared == shared[:6] * 6
    assert len(set(shared)) == 6
    assert {o for cell in cells_of for o in cell if o.startswith("dataset=")} == {
        f"dataset={dataset}" for dataset in datasets.split()
    }


def test_curves_are_a_cell_for_each_model_and_dataset() -> None:
    cfg = sweep_config("experiment=curves", "runs=R")
    assert (cfg.curves, cfg.calibration, cfg.draws) == (True, "val", 20)
    assert cfg.hydra.sweep.dir == "R/sweep/curves"
    assert len(jobs(cfg)) == 6


def test_models_of_the_hub_are_18_cells_and_three_fine_tunings() -> None:
    cells_of = jobs(sweep_config("experiment=hub", "runs=R"))
    assert len({tuple(cell) for cell in cells_of}) == len(cells_of) == 18
    cells_made = [sweep_config("experiment=hub", *cell, "runs=R", "seed=1") for cell in cells_of]
    assert len({cell.hydra.sweep.subdir for cell in cells_made}) == 18
    assert [cell.model.name for cell in cells_made] == ["videomae", "vivit", "vjepa2"] * 6
    assert list(dict.fromkeys(cell.fine_tuned for cell in cells_made)) == [
        f"R/train/demo_dai/{name}-seed1" for name in ("videomae", "vivit", "vjepa2")
    ]
    assert {cell.model.variant for cell in cells_made} == {"tiny"}


def test_every_cell_of_the_front_has_a_place_that_names_its_budget() -> None:
    every = jobs(sweep_config("experiment=front", "runs=R"))
    assert len(every) == 4 * 4 * 5
    cells_of = [*one_by_one(every), every[-1]]
    assert len(cells_of) == 1 + 3 + 3 + 4 + 1
    cells_made = [sweep_config("experiment=front", *cell, "runs=R") for cell in cells_of]
    assert cells_made[0].hydra.sweep.dir == "R/sweep/front-mvit"
    places = [cell.hydra.sweep.subdir for cell in cells_made]
    assert len({*places}) == len(cells_of)
    assert places[0] == "demo_dai/mvit/R-lowest-latency0.5-linear"
    assert places[-1] == "demo_dai/mvit/random-lowest-latency0.9-any-linear"


def test_controls_of_recovery_are_cells_of_their_own() -> None:
    every = jobs(sweep_config("experiment=recovery", "runs=R"))
    assert len(every) == 2 * 2 * 4 * 5
    cells_of = one_by_one(every)
    assert len(cells_of) == 1 + 1 + 1 + 3 + 4
    cells_made = [sweep_config("experiment=recovery", *cell, "runs=R") for cell in cells_of]
    assert len({cell.hydra.sweep.subdir for cell in cells_made}) == len(cells_of)
    begins = {(cell.recover.name, cell.recover.get("begin")) for cell in cells_made}
    assert {("finetune", "scratch"), ("distill", "scratch")} < begins


@pytest.mark.parametrize(("model", "k"), [("timesformer", 3), ("video_swin", 6), ("mvit", 5)])
def test_a_cell_of_table1_has_its_place_and_the_papers_k(model: str, k: int) -> None:
    cell = sweep_config("experiment=table1", "dataset=dai", f"model={model}", "metric=dProb")
    assert cell.k == k
    assert cell.hydra.sweep.subdir == f"dai/{model}/dProb-lowest-k{k}"


def test_search_k_gives_every_learning_rate_its_own_checkpoint() -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    Plugins.instance()
    one, other = (sweep_config("experiment=search_k", f"model.recipe.lr={lr}") for lr in (1, 2))
    assert one.fine_tuned != other.fine_tuned
    assert one.hydra.sweep.subdir != other.hydra.sweep.subdir
    assert one.hydra.sweeper.direction == "maximize"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["direction=low"], "direction=low is unknown; direction takes lowest, highest"),
        (["hydra.sweep.dir={file}/sweep"], "cannot write to hydra.sweep.dir="),
        (
            ["hydra.launcher._target_=hydra_plugins.hydra_moon_launcher.moon.Moon"],
            "hydra/launcher needs hydra-moon-launcher, which is missing",
        ),
    ],
)
def test_refused_before_any_job(
    overrides: Sequence[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    filled = [override.format(file=tmp_path / "file") for override in overrides]
    cfg = sweep_config(f"hydra.sweep.dir={tmp_path / 'sweep'}", *filled)
    with pytest.raises(SystemExit) as caught:
        Guard().on_multirun_start(cfg)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


def test_a_missing_plugin_is_named_where_there_is_none_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = sweep_config("hydra/launcher=joblib", f"hydra.sweep.dir={tmp_path}")
    for name in [name for name in sys.modules if name.startswith("hydra_plugins.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "hydra_plugins", None)
    with pytest.raises(SystemExit):
        Guard().on_multirun_start(cfg)
    assert "hydra/launcher needs hydra-joblib-launcher" in capsys.readouterr().err


def test_an_unwritable_directory_of_a_single_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit):
        Guard().on_run_start(sweep_config(f"hydra.run.dir={tmp_path / 'file' / 'run'}"))
    assert "cannot write to hydra.run.dir=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("params", "line"),
    [
        ({"metric": "R,KL"}, "metric=KL is unknown; metric takes JSD, dProb"),
        ({"seed": "1,2", "model": "mvit,vivit"}, "model=vivit is unknown"),
        ({"dataset": "choice(dai,kinetics)"}, "dataset=kinetics is unknown"),
    ],
)
def test_values_of_an_experiments_sweep_are_refused_too(
    params: dict[str, str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = sweep_config(f"hydra.sweep.dir={tmp_path / 'sweep'}")
    cfg.hydra.sweeper.params = params
    with pytest.raises(SystemExit):
        Guard().on_multirun_start(cfg)
    assert line in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.parametrize(
    ("task", "overrides", "told"),
    [
        ("prune", ["seed=0,1"], None),
        ("prune", ["seeds=0,1"], None),
        ("prune", ["seeds=0,1", "seed=2"], "hydra.sweep.subdir does not name seeds"),
        ("prune", ["target=label,predicted"], "hydra.sweep.subdir does not name target"),
        ("prune", ["trainer=cpu,gpu"], "-${hydra:runtime.choices.trainer}'"),
        ("prune", ["scope=layer,head"], None),
        ("prune", ["budget.latency=0.7,0.5"], None),
        ("prune", ["recover.clips=64,128", "recover=linear"], "does not name recover.clips"),
        ("prune", ["seed=0,1", "hydra.sweep.subdir=R-${seed}"], None),
        ("prune", ["recover=finetune,scratch"], None),
        (
            "prune",
            ["recover=finetune", "recover.begin=dropped,linear"],
            "does not name recover.begin",
        ),
        ("prune", ["seed=0,1", "hydra.sweep.subdir=${hydra.job.num}"], None),
        ("prune", ["model=mvit,timesformer", "k=2,3", "metric=R,JSD", "seed=1"], None),
        ("train", ["seed=0,1"], None),
        ("train", ["model.recipe.lr=1,2"], "-${model.recipe.lr}'"),
        ("train", ["model=mvit,timesformer", "dataset=demo_dai,demo_ucf101"], None),
        ("evaluate", ["ckpt=a,b", "seed=0,1"], None),
    ],
)
def test_cells_must_not_share_a_directory(
    task: str,
    overrides: list[str],
    told: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    swept = [word for word in overrides if "," in word]
    given = [word for word in overrides if word not in swept]
    cfg = sweep_config(f"hydra.sweep.dir={tmp_path / 'sweep'}", *given, task=task)
    cfg.hydra.overrides.task = overrides
    if told is None:
        return Guard().on_multirun_start(cfg)
    with pytest.raises(SystemExit) as caught:
        Guard().on_multirun_start(cfg)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
    return None


def test_a_sweep_leaves_what_it_was_asked_for_as_it_was_given(tmp_path: Path) -> None:
    cfg = sweep_config("seed=3", f"hydra.sweep.dir={tmp_path}")
    given = ["seed=3", "metric=R,JSD", "model=mvit", "fine_tuned=${runs}/${seed}"]
    cfg.hydra.sweeper.params = {"dataset": "dai,ucf101"}
    cfg.hydra.overrides.task = given
    Guard().on_multirun_start(cfg)
    assert json.loads((tmp_path / "sweep.json").read_text()) == {
        "command": given,
        "asked": {
            "dataset": ["dai", "ucf101"],
            "seed": ["3"],
            "metric": ["R", "JSD"],
            "model": ["mvit"],
        },
    }


def test_seeds_are_asked_for_as_seed_and_have_places_of_their_own(tmp_path: Path) -> None:
    cfg = sweep_config("experiment=table1_demo", f"hydra.sweep.dir={tmp_path}")
    cfg.hydra.overrides.task = ["experiment=table1_demo", "seeds=0,1,2"]
    Guard().on_multirun_start(cfg)
    assert json.loads((tmp_path / "sweep.json").read_text())["asked"]["seed"] == ["0", "1", "2"]
    places = {
        (cell.fine_tuned, cell.hydra.sweep.subdir, cell.seed)
        for cell in (sweep_config("runs=R", f"seeds={seed}") for seed in range(2))
    }
    assert places == {
        ("R/train/demo_dai/mvit", "demo_dai/mvit/R-lowest-k5", 0),
        ("R/train/demo_dai/mvit-seed1", "demo_dai/mvit/R-lowest-k5-seed1", 1),
    }
    assert (
        sweep_config("seed=1", "runs=R", task="train").fine_tuned == "R/train/demo_dai/mvit-seed1"
    )


def test_no_cell_of_the_hub_is_asked_for_by_a_name_that_none_has(tmp_path: Path) -> None:
    cfg = sweep_config(f"hydra.sweep.dir={tmp_path}")
    cfg.hydra.overrides.task = ["model=hub", "metric=JSD,R"]
    Guard().on_multirun_start(cfg)
    asked = json.loads((tmp_path / "sweep.json").read_text())["asked"]
    assert asked == {"metric": ["JSD", "R"]}


def test_a_full_disk_is_said_before_any_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vitprune.launch.sweeps.write_json", full)
    with pytest.raises(SystemExit):
        Guard().on_multirun_start(sweep_config(f"hydra.sweep.dir={tmp_path}"))
    assert capsys.readouterr().err.startswith("error: no space left on the disk")


def test_failed_cells_are_named_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells.record_failure(tmp_path / "dai/mvit/old", "of an earlier sweep", [])
    cfg = sweep_config(f"hydra.sweep.dir={tmp_path}")
    guard = Guard()
    guard.on_multirun_start(cfg)
    guard.on_multirun_end(cfg)  # nothing failed in this one
    cells.record_failure(tmp_path / "dai/mvit/R-lowest-k99", "k=99 is out of range", ["k=99"])
    with pytest.raises(SystemExit) as caught:
        guard.on_multirun_end(cfg)
    assert caught.value.code == 1
    head, *failed = capsys.readouterr().err.splitlines()
    assert head.startswith("error: 1 cell failed")
    assert failed == ["  dai/mvit/R-lowest-k99: k=99 is out of range"]
