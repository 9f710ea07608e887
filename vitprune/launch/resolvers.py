"""What the configuration may compute: ``${suffix_of_seed:${seed}}``."""

from __future__ import annotations

from omegaconf import OmegaConf


def suffix_of_seed(seed: int) -> str:
    """What tells the places of a seed from those of seed 0, which have none: ``-seed1``.

    >>> suffix_of_seed(0), suffix_of_seed(2)
    ('', '-seed2')
    """
    return f"-seed{seed}" if seed else ""


OmegaConf.register_new_resolver("suffix_of_seed", suffix_of_seed, replace=True)
