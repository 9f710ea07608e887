"""Fine-tune a video transformer: ``python train.py model=mvit dataset=ucf101``."""

import hydra
from omegaconf import DictConfig

from vitprune.launch import commands


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    return commands.run("train", cfg)


if __name__ == "__main__":
    commands.main("train", main)
