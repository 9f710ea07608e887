"""Score, drop, compare: ``python prune.py model=mvit metric=R k=5``."""

import hydra
from omegaconf import DictConfig

from vitprune.launch import commands


@hydra.main(version_base="1.3", config_path="conf", config_name="prune")
def main(cfg: DictConfig) -> float | None:
    return commands.run("prune", cfg)


if __name__ == "__main__":
    commands.main("prune", main)
