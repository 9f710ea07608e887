"""The dashboard shows what runs log, and the W&B sweep speaks Hydra."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from in_process import call
from omegaconf import OmegaConf

CONF = Path(__file__).resolve().parent.parent.parent / "conf"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wandb-workspaces itself
def test_the_workspace_is_one_that_wandb_can_be_sent() -> None:
    pytest.importorskip("wandb_workspaces")
    from vitprune.tracking.dashboard import workspace

    found = workspace("team", "vitprune", group="table1")
    text = found._to_model().model_dump_json()
    for key in (
        "pruned.top1",
        "pruned.flops",
        "relevance/R",
        "curves/oneshot/R",
        "val/top1",
        "exported.pruned.onnx_float32.latency_ms",
        "table1",
    ):
        assert key in text
    assert {len(section.panels) > 0 for section in found.sections} == {True}


@pytest.mark.parametrize(
    ("installed", "line"),
    [(False, "pip install -e '.[sweep]'"), (True, "run wandb login, or set WANDB_API_KEY")],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of wandb-workspaces itself
def test_without_package_or_account_there_is_one_line(
    installed: bool, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if installed:
        pytest.importorskip("wandb_workspaces")
    else:
        monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    environment = {**kept, "HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    done = call("-mvitprune.tracking.dashboard", [], CONF.parent, environment)
    assert done.returncode == 2, done.stderr
    errors = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert len(errors) == 1
    assert line in errors[0]
    assert "Traceback" not in done.stderr


def test_a_wandb_agent_calls_prune_as_hydra_wants_it() -> None:
    utils = pytest.importorskip("wandb.sdk.launch.sweeps.utils")
    sweep: Any = OmegaConf.to_container(OmegaConf.load(CONF / "wandb_sweep.yaml"))
    assert sweep["method"] == "grid"
    assert (CONF.parent / sweep["program"]).is_file()
    values = {name: {"value": p["values"][-1]} for name, p in sweep["parameters"].items()}
    arguments = utils.create_sweep_command_args({"args": values})
    macros = {"${env}": [], "${interpreter}": [], "${program}": []}
    macros["${args_no_hyphens}"] = arguments["args_no_hyphens"]
    command = [word for part in sweep["command"] for word in macros.get(part, [part])]
    assert all("=" in word and not word.startswith("-") for word in command)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("prune", command)
    assert (cfg.dataset.name, cfg.model.name, cfg.metric) == ("dai", "mvit", "R")
    assert (cfg.direction, cfg.logger.mode) == ("highest", "online")
