"""What a result depends on: the part of a configuration that must be equal to use it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

NEUTRAL = ("logger", "runs", "fine_tuned", "cache", "max_streams", "objective", "seeds")
"""Top-level keys that no result depends on. What ``fine_tuned`` holds counts, not where it lies;
``seeds`` is only where ``seed`` comes from."""
NEUTRAL_PARTS = (("dataset", "num_workers"), ("dataset", "store"), ("dataset", "store_gb"))

NOT_FINE_TUNING = {
    "model": ("k", "compile", "checkpointing", "full", "tiny", "architecture", "revision"),
    "dataset": (
        "_target_", "root", "scale", "num_workers", "store", "store_gb", "views", "eval_batch_size",
        "on_error",
    ),
}  # fmt: skip
"""Parts of a configuration that no weight depends on, or that say only where files lie."""
FINE_TUNING_TRAINER = (
    "max_epochs", "max_steps", "limit_train_batches", "overfit_batches", "check_val_every_n_epoch",
    "accumulate_grad_batches", "gradient_clip_val",
)  # fmt: skip
"""Keys of a trainer that weights depend on; its device and precision may be the job's own."""


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a job's resolved configuration that its results depend on, in JSON's types."""
    settings = {str(key): value for key, value in values.items() if key not in NEUTRAL}
    if not settings.get("export"):  # nothing depends on how nothing is exported
        settings = {key: v for key, v in settings.items() if key not in ("export", "deploy")}
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    for section, key in NEUTRAL_PARTS:
        plain.get(section, {}).pop(key, None)
    return plain


def fine_tuning_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The part that a fine-tuned checkpoint is told apart by: ``model``, ``dataset``, ``seed``,
    what of ``trainer`` weights depend on, and which epoch is kept."""
    settings = settings_of(values)
    found: dict[str, Any] = {"seed": settings["seed"]}
    for section, left_out in NOT_FINE_TUNING.items():
        part = settings[section]
        found[section] = {key: value for key, value in part.items() if key not in left_out}
    found["dataset"].pop("seed", None)  # it is the job's
    trainer = settings.get("trainer", {})
    found["trainer"] = {key: trainer[key] for key in FINE_TUNING_TRAINER if key in trainer}
    found["checkpoint"] = settings.get("callbacks", {}).get("checkpoint")
    return found


def value_at(values: Mapping[str, Any], name: str) -> Any:
    """The value under a dotted name; None if there is none."""
    found: Any = values
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


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
