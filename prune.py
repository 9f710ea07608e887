"""Score, drop, compare: ``python prune.py model=mvit metric=R k=5``."""

import hydra
from omegaconf import DictConfig

from vitprune.commands import check_arguments, run


@hydra.main(version_base="1.3", config_path="conf", config_name="prune")
def main(cfg: DictConfig) -> None:
    run("prune", cfg)


if __name__ == "__main__":
    check_arguments("prune")
    main()
