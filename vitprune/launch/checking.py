"""The command ``python -m vitprune.data.check``."""

from __future__ import annotations

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vitprune.errors import FAILED, InputError, exit_with
from vitprune.launch import commands, resolvers
from vitprune.launch.arguments import CONF
from vitprune.launch.configuration import parse


def main() -> None:
    """Check a dataset; the exit status is 1 if anything is wrong with it."""
    commands.main("check", _command)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="check")
def _command(cfg: DictConfig) -> None:
    try:
        job = parse(resolvers.plain(cfg))
        from vitprune.tasks.check import check  # late: a wrong argument should not wait for torch

        found = check(job, Path(HydraConfig.get().runtime.output_dir))
    except InputError as error:
        exit_with(error)  # at once: Hydra would put a line of its own before an exception's
    if found.wrong:
        sys.exit(FAILED)
