"""What a model of the hub says of itself, for configurations: ``${hub:KEY,WEIGHTS,REVISION,ELSE}``.

Nothing here imports torch.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from omegaconf import OmegaConf

from vitprune.errors import InputError
from vitprune.hub import Source, is_source


def register() -> None:
    """Let configurations ask for it."""
    OmegaConf.register_new_resolver("hub", _value, replace=True)


def _value(key: str, weights: str | None, revision: str | None, otherwise: Any) -> Any:
    """``name``, ``variant``, ``num_frames``, ``image_size``, ``mean`` or ``std``.

    Raises:
        InputError: it is not to be had.
    """
    if weights is not None:
        if not is_source(weights):
            raise InputError(
                f"model.weights={weights} is no directory and no id of the hub (owner/name)"
            )
        return _said(weights, revision)[key]
    if otherwise is None and key != "variant":
        raise InputError(
            "model=hub needs weights at full scale: model.weights=DIRECTORY, or an id of the hub "
            "(owner/name); scale=tiny builds a small model from nothing"
        )
    return otherwise


@lru_cache(maxsize=8)
def _said(weights: str, revision: str | None) -> dict[str, Any]:
    source = Source(weights, revision)
    settings = source.clip_settings()
    return {
        "name": source.architecture(),
        "variant": "hub",
        "num_frames": settings.num_frames,
        "image_size": settings.image_size,
        "mean": list(settings.mean),
        "std": list(settings.std),
    }
