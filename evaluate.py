"""Evaluate any checkpoint, or explain its heads: ``python evaluate.py ckpt=FILE dataset=NAME``."""

import hydra
from omegaconf import DictConfig

from vitprune.launch import commands


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> float | None:
    return commands.run("evaluate", cfg)


if __name__ == "__main__":
    commands.main("evaluate", main)
