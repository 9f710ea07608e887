"""Evaluate any checkpoint, or explain its heads: ``python evaluate.py ckpt=FILE dataset=NAME``."""

import sys

import hydra
from omegaconf import DictConfig

from vitprune.commands import check_arguments, keep_names, run


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(cfg: DictConfig) -> None:
    run("evaluate", cfg)


if __name__ == "__main__":
    sys.argv[1:] = keep_names()
    check_arguments("evaluate")
    main()
