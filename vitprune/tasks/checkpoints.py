"""Whether a checkpoint is the one that a job asks for, and has not been trained on its clips."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vitprune.data import VideoDataModule
from vitprune.errors import InputError
from vitprune.results.settings import differences, value_at
from vitprune.training import VideoClassifier

if TYPE_CHECKING:
    from vitprune.launch.configuration import Evaluate, FineTuning, Prune

log = logging.getLogger(__name__)

SELECTION = (
    "split", "view", "level", "time", "modality", "test_fraction", "test_seed", "val_fraction",
    "val_seed",
)  # fmt: skip
"""Keys of a dataset that say which of its clips make which split."""
TRAINING = ("batch_size", "flip", "crop_area", "colour_jitter")
"""Keys of a dataset that only fine-tuning looks at."""

AnyJob = TypeVar("AnyJob", "Prune", "Evaluate")


def check_same_fine_tuning(path: Path, classifier: VideoClassifier, cfg: FineTuning) -> None:
    """Refuse the checkpoint at the predictable place if it is not what the job would fine-tune.

    Raises:
        InputError: names the keys that differ and what to do.
    """
    if classifier.provenance is None:
        raise InputError(
            f"checkpoint {path} does not say what it was fine-tuned with, as an older version made "
            f"it; {_ways_out(path)}"
        )
    trained, asked = classifier.provenance.settings, cfg.fine_tuning()
    if changed := differences(trained, asked):
        shown = [f"{n}={_value(trained, n)}, not {_value(asked, n)}" for n in changed[:4]]
        more = [f"{len(changed) - 4} more keys"] if len(changed) > 4 else []
        raise InputError(
            f"checkpoint {path} was fine-tuned with other settings: "
            f"{'; '.join(shown + more)}; {_ways_out(path)}"
        )


def check_same_clips(path: Path, classifier: VideoClassifier, data: VideoDataModule) -> None:
    """Refuse the checkpoint at the predictable place if its dataset has since been changed.

    Raises:
        InputError: names the splits whose clips are others.
    """
    assert classifier.provenance is not None
    changed = [
        split
        for split, dataset in data.splits.items()
        if classifier.provenance.splits.get(split) != dataset.listing()
    ]
    if changed:
        raise InputError(
            f"checkpoint {path} was fine-tuned when the {' and '.join(changed)} split of "
            f"{data.name} in {data.root} had other clips; {_ways_out(path)}"
        )


def with_checkpoint(cfg: AnyJob, path: Path, classifier: VideoClassifier) -> AnyJob:
    """The configuration as it really is with a checkpoint that was given by hand.

    The checkpoint knows how its clips are taken from videos and, for its own dataset, which clips
    make which split. Keys that the command line names are kept or refused, never overruled.

    Args:
        cfg: as it was composed.
        path: of the checkpoint.
        classifier: what it holds.

    Raises:
        InputError: a key that was given and is not the checkpoint's.
    """
    trained = classifier.provenance.settings if classifier.provenance else {}
    spec = asdict(classifier.model.spec)
    known = {
        "model": {**trained.get("model", {}), **{k: spec[k] for k in ("name", "variant")}},
        "dataset": json.loads(json.dumps(classifier.clip_settings)),  # lists, not tuples
    }
    own = trained.get("dataset", {})
    if own.get("name") == cfg.dataset.name:
        known["dataset"] |= {key: own[key] for key in TRAINING if key in own}
    for section in cfg.DECIDED_BY_CHECKPOINT:
        values, asked = known[section], cfg.plain()[section]
        for name in differences(values, {k: asked.get(k, v) for k, v in values.items()}):
            if _is_given(section, name, cfg.given):
                key = f"{section}.{name}"
                raise InputError(
                    f"{key}={_value(asked, name)}, but checkpoint {path} was fine-tuned with "
                    f"{key}={_value(values, name)} and is used with it; leave {key} out, or "
                    "fine-tune with it"
                )
    clips = dict(known["dataset"])
    if own.get("name") == cfg.dataset.name:
        clips |= {
            key: own[key] for key in SELECTION if key in own and f"dataset.{key}" not in cfg.given
        }
    return cfg.with_decided(clips, known["model"])


def leakage(
    path: Path,
    classifier: VideoClassifier,
    data: VideoDataModule,
    splits: Sequence[str],
    *,
    allowed: bool,
) -> dict[str, int] | None:
    """How many clips of each of ``splits`` the checkpoint was trained on; None if there are none.

    Args:
        path: of the checkpoint.
        classifier: what it holds.
        data: set up.
        splits: those that it is evaluated or scored on. Who asks for ``train`` asks for them.
        allowed: whether to go on all the same, with a warning.

    Raises:
        InputError: there are such clips, or it cannot be told, and it was not allowed.
    """
    way_on = "go on all the same with allow_leakage=true"
    if classifier.provenance is None:
        line = f"checkpoint {path} does not say which clips it was trained on"
        if not allowed:
            raise InputError(f"{line}, as an older version made it; fine-tune again, or {way_on}")
        log.warning("%s; whether figures are of unseen clips is not known", line)
        return {"unknown": 1}
    found: dict[str, int] = {}
    for split in dict.fromkeys(splits):
        if split == "train":
            continue
        dataset = data.splits[split]
        seen = classifier.provenance.seen(dataset.excerpts())
        if not seen:
            continue
        found[split] = len(seen)
        line = (
            f"checkpoint {path} was trained on {len(seen)} of the {len(dataset)} clips of the "
            f"{split} split of {data.name}, such as {dataset.names[seen[0]]}"
        )
        if not allowed:
            raise InputError(
                f"{line}; take the split that it was fine-tuned with, fine-tune again, or {way_on}"
            )
        log.warning("%s; figures on them are too high", line)
    return found or None


def _is_given(section: str, name: str, given: frozenset[str]) -> bool:
    """Whether the command line sets a value: as ``model.recipe.lr`` or as ``model.tiny.lr``."""
    last = name.rpartition(".")[2]
    places = (section, "model")  # where a dataset's sizes come from
    if section == "model" and given & {"scale", "dataset.scale"}:
        return True  # all of a model's values follow from it
    return any(key.startswith(places) and key.rpartition(".")[2] == last for key in given)


def _ways_out(path: Path) -> str:
    return (
        "fine-tune again with train.py and the same arguments, or elsewhere with fine_tuned=DIR; "
        f"or take this one as it is with ckpt={path}"
    )


def _value(values: Mapping[str, Any], name: str) -> str:
    found = value_at(values, name)
    return "null" if found is None else str(found)
