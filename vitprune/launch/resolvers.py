"""What the configuration may compute, and how it is resolved. Nothing here imports torch.

``${suffix_of_seed:${seed}}`` is :func:`suffix_of_seed`, and so on; ``${hub:KEY,WEIGHTS,REVISION,
ELSE}`` what a model of the hub says of itself, or ELSE where there are no weights. Whoever imports
this module can compose that.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from vitprune.errors import InputError, causes
from vitprune.hub import Source, is_source


def plain(config: DictConfig) -> dict[str, Any]:
    """A configuration, resolved, in plain types.

    Raises:
        InputError: what it asks of a model of the hub is not to be had.
    """
    try:
        values: Any = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise foreseen(error) or error from None
    return values


def foreseen(error: Exception) -> InputError | None:
    """The error in one line that OmegaConf has wrapped in one of its own, if that is it."""
    if not isinstance(error, OmegaConfBaseException):
        return None
    return next((cause for cause in causes(error) if isinstance(cause, InputError)), None)


def suffix_of_seed(seed: int) -> str:
    """What tells the places of a seed from those of seed 0, which have none: ``-seed1``.

    >>> suffix_of_seed(0), suffix_of_seed(2)
    ('', '-seed2')
    """
    return f"-seed{seed}" if seed else ""


def suffix_of_scope(scope: str) -> str:
    """What tells the places of units of a scope from those of layers: ``-head``.

    >>> suffix_of_scope("layer"), suffix_of_scope("head")
    ('', '-head')
    """
    return "" if scope == "layer" else f"-{scope}"


def suffix_of_recovery(name: str) -> str:
    """What tells the places of a recovery from those without one: ``-linear``.

    >>> suffix_of_recovery("none"), suffix_of_recovery("linear")
    ('', '-linear')
    """
    return "" if name == "none" else f"-{name}"


def goal(k: int, budget: DictConfig) -> str:
    """What tells the places of jobs apart by how far they go: ``k5``, with a budget ``latency0.7``.

    >>> goal(5, OmegaConf.create({"latency": None, "flops": None}))
    'k5'
    >>> goal(5, OmegaConf.create({"latency": 0.7, "flops": 0.5}))
    'latency0.7-flops0.5'
    """
    limits = [f"{name!s}{limit}" for name, limit in budget.items() if limit is not None]
    return "-".join(limits) or f"k{k}"


def suffix_of_ckpt(ckpt: str | None) -> str:
    """What tells a fine-tuning that goes on from a checkpoint from others: ``-from-pruned``.

    >>> suffix_of_ckpt(None), suffix_of_ckpt("runs/pruned.ckpt")
    ('', '-from-pruned')
    """
    return "" if ckpt is None else f"-from-{Path(ckpt).stem}"


def _value(key: str, weights: str | None, revision: str | None, otherwise: Any) -> Any:
    """``name``, ``variant``, ``commit``, ``num_frames``, ``image_size``, ``mean`` or ``std``.

    Raises:
        InputError: it is not to be had.
    """
    if weights is not None:
        if not is_source(weights):
            raise InputError(
                f"model.weights={weights} is no directory and no id of the hub (owner/name)"
            )
        return _said(weights, revision)[key]
    if otherwise is None and key not in ("variant", "commit"):
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
        "commit": source.commit(),
        "num_frames": settings.num_frames,
        "image_size": settings.image_size,
        "mean": list(settings.mean),
        "std": list(settings.std),
    }


OmegaConf.register_new_resolver("suffix_of_seed", suffix_of_seed, replace=True)
OmegaConf.register_new_resolver("suffix_of_scope", suffix_of_scope, replace=True)
OmegaConf.register_new_resolver("suffix_of_recovery", suffix_of_recovery, replace=True)
OmegaConf.register_new_resolver("goal", goal, replace=True)
OmegaConf.register_new_resolver("suffix_of_ckpt", suffix_of_ckpt, replace=True)
OmegaConf.register_new_resolver("hub", _value, replace=True)
