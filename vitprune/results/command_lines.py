"""Command lines, as Hydra keeps them: what was asked for, before anything is resolved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf


def words_of(cfg: DictConfig) -> list[str]:
    """The overrides that the command line gave, as they were given: nothing is resolved."""
    words: Any = OmegaConf.select(cfg, "hydra.overrides.task")
    return OmegaConf.to_container(words) if words else []  # type: ignore[return-value]


def overrides_of(cfg: DictConfig) -> list[Override]:
    """What a multirun was asked for: its sweeper's ``params``, then its command line."""
    node: Any = OmegaConf.select(cfg, "hydra.sweeper.params")
    params: Any = OmegaConf.to_container(node) if node else {}
    return parsed([*(f"{key}={value}" for key, value in params.items()), *words_of(cfg)])


def parsed(words: Iterable[str]) -> list[Override]:
    """Overrides, read by Hydra's grammar; none if one is not in it."""
    try:
        return OverridesParser.create().parse_overrides(list(words))
    except HydraException:
        return []  # Hydra says it better, when it reads them
