"""Evaluate any checkpoint, or explain its heads: ``python evaluate.py ckpt=FILE dataset=NAME``."""

import sys

import hydra
from omegaconf import DictConfig

from vitprune import commands
from vitprune.arguments import keep_names


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> float | None:
    return commands.run("evaluate", cfg)


if __name__ == "__main__":
    sys.argv[1:] = keep_names()
    commands.main("evaluate", main)
