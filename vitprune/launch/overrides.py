"""Command lines: what was asked for, as opposed to what the configuration already had."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf


def given_keys() -> frozenset[str]:
    """The keys that the command line of this job names: ``dataset.sampling``, ``model``, ..."""
    if not HydraConfig.initialized():
        return frozenset()
    words = [str(word) for word in HydraConfig.get().overrides.task]
    return frozenset(o.key_or_group for o in OverridesParser.create().parse_overrides(words))


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


def asked_for(cfg: DictConfig, keys: Iterable[str]) -> dict[str, list[str]]:
    """The values that a multirun was asked for under each of ``keys``, if any."""
    asked: dict[str, list[str]] = {}
    for override in overrides_of(cfg):
        if override.key_or_group not in keys or override.is_delete():
            continue
        if override.is_discrete_sweep():
            asked[override.key_or_group] = list(override.sweep_string_iterator())
        elif not override.is_sweep_override():
            asked[override.key_or_group] = [str(override.value())]
    return asked
