"""Fine-tune a video transformer: ``python train.py model=mvit dataset=ucf101``."""

import hydra
from omegaconf import DictConfig

from vitprune.commands import check_arguments, run


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> None:
    run("train", cfg)


if __name__ == "__main__":
    check_arguments("train")
    main()
