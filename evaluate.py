"""Evaluate any checkpoint: ``python evaluate.py ckpt=FILE dataset=NAME``."""

import hydra
from omegaconf import DictConfig

from vitprune.commands import check_arguments, run


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    run("evaluate", cfg)


if __name__ == "__main__":
    check_arguments("evaluate")
    main()
