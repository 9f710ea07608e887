"""What a result depends on: the part of a configuration that must be equal to use it again."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

NEUTRAL = ("logger", "runs", "fine_tuned", "cache", "max_streams", "objective")
"""Top-level keys that no result depends on."""
NEUTRAL_PARTS = (("dataset", "num_workers"),)
FINE_TUNING = ("model", "dataset", "trainer", "callbacks", "seed")
"""Top-level keys that a fine-tuned checkpoint depends on."""


def settings_of(cfg: DictConfig, keys: Container[str] | None = None) -> dict[str, Any]:
    """The resolved part of a job's configuration that its results depend on, in JSON's types.

    Args:
        cfg: the configuration.
        keys: only these top-level keys; None for all but :data:`NEUTRAL`.
    """
    resolved = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(resolved, dict)
    settings = {
        key: value
        for key, value in resolved.items()
        if (key not in NEUTRAL if keys is None else key in keys)
    }
    for section, key in NEUTRAL_PARTS:
        settings.get(section, {}).pop(key, None)
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def differences(one: Any, other: Any) -> list[str]:
    """The dotted names of the values in which two nested mappings differ."""
    return sorted(_differences(one, other, ""))


def _differences(one: Any, other: Any, name: str) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in {*one, *other}:
            inner = f"{name}.{key}" if name else str(key)
            yield from _differences(one.get(key), other.get(key), inner)
    elif one != other:
        yield name or "."
