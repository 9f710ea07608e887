"""A model of the Hugging Face hub as files: what they say of it. Nothing here imports torch.

A source is a directory, or an id of the hub with a revision. Its ``config.json`` says what is
built, its processor's file how clips are made of videos, and only safetensors are weights: no code
of a source is ever run. Which classes there are is said beside their adapters, in
``vitprune/models/hub/classes.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vitprune.errors import InputError

CONFIG = "config.json"
PROCESSORS = ("video_preprocessor_config.json", "preprocessor_config.json", "processor_config.json")
"""Files that say how clips are made, the first that is there."""
FRAMES = ("num_frames", "frames_per_clip")
SIZES = ("image_size", "crop_size")
NAMES: dict[str, str] = json.loads(
    (Path(__file__).parent / "models" / "hub" / "classes.json").read_text(encoding="utf-8")
)
"""transformers' ``model_type`` of each class for videos -> its name here."""
NO_STRUCTURE = (
    "id2label", "label2id", "num_labels", "problem_type", "architectures", "dtype", "torch_dtype",
    "transformers_version", "_name_or_path", "auto_map",
)  # fmt: skip
"""Keys of a configuration that say nothing of how a model is built."""

ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
FILES = (".pt", ".pth", ".pyth", ".bin", ".ckpt", ".safetensors")


def is_source(weights: str | Path) -> bool:
    """Whether ``model.weights`` names a directory or an id of the hub, and not a file."""
    path = Path(weights)
    named = ID.fullmatch(str(weights)) is not None and path.suffix not in FILES
    return path.is_dir() or (named and not path.exists())


@dataclass(frozen=True)
class ClipSettings:
    """How a model's processor makes clips, as a dataset takes it."""

    num_frames: int
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


@dataclass(frozen=True)
class Source:
    """Where a model's files are.

    Args:
        name: a directory, or an id of the hub, ``owner/name``.
        revision: a commit, tag or branch of an id; None for its main branch.

    Raises:
        InputError: a revision of a directory, which has none.
    """

    name: str
    revision: str | None = None

    def __post_init__(self) -> None:
        if self.revision is not None and Path(self.name).is_dir():
            raise InputError(
                f"model.revision={self.revision}: {self.name} is a directory and has none"
            )

    @cached_property
    def described(self) -> Path:
        """A directory with its configuration, fetched where it is an id.

        Raises:
            InputError: the id, its revision or the network is not to be had.
        """
        return self._fetched("*.json")

    def folder(self) -> Path:
        """A directory with its configuration and weights, fetched where it is an id.

        Raises:
            InputError: it cannot be fetched, or holds no weights in safetensors.
        """
        folder = self._fetched("*.json", "*.safetensors")
        if not any(folder.glob("*.safetensors")):
            raise InputError(
                f"model.weights={self.name} holds no weights in safetensors, the only ones that "
                "are read; convert them, or take a revision that has them"
            )
        return folder

    def commit(self) -> str | None:
        """The commit that an id's revision is now; None for a directory."""
        return None if Path(self.name).is_dir() else self.described.name

    def pinned(self) -> Source:
        """The same at its commit, so that all files are of one and it can be had again."""
        return replace(self, revision=self.commit())

    def _fetched(self, *patterns: str) -> Path:
        if Path(self.name).is_dir():
            return Path(self.name)
        hub = _hub()
        try:
            # The library keeps files in a directory that is called as their commit is.
            return Path(
                hub.snapshot_download(
                    self.name, revision=self.revision, allow_patterns=list(patterns)
                )
            )
        except Exception as error:  # its own, httpx's, the system's: they have no base of their own
            revision = f" (revision {self.revision})" if self.revision else ""
            why = str(error).strip().splitlines()[0] if str(error).strip() else "no answer"
            raise InputError(
                f"model.weights={self.name}{revision} cannot be had from the hub: {why} "
                "Name an id and a revision that are there, or a directory with its files"
            ) from error

    def config(self) -> dict[str, Any]:
        """What ``config.json`` says.

        Raises:
            InputError: there is none, or it is of no class for videos that is known.
        """
        path = self.described / CONFIG
        if not path.is_file():
            raise InputError(f"model.weights={self.name} holds no {CONFIG}; is it a model?")
        config = _read(path)
        if config.get("model_type") not in NAMES:
            raise InputError(
                f"model.weights={self.name} is a model of type {config.get('model_type')}; "
                f"those for videos are {', '.join(NAMES)}"
            )
        return config

    def structure(self) -> dict[str, Any]:
        """The part of its configuration that says how it is built."""
        return {key: value for key, value in self.config().items() if key not in NO_STRUCTURE}

    def architecture(self) -> str:
        """What it is called here: ``videomae``."""
        return NAMES[self.config()["model_type"]]

    def clip_settings(self) -> ClipSettings:
        """Frames and size of its clips, and how they are normalised.

        Raises:
            InputError: no file says it.
        """
        config = self.config()
        processor = self._processor()
        frames = next((config[key] for key in FRAMES if key in config), None)
        size = processor.get("crop_size") if processor.get("do_center_crop", True) else None
        sides = [size, processor.get("size"), *(config.get(key) for key in SIZES)]
        side = next(filter(None, map(_side, sides)), None)
        if frames is None or side is None:
            missing = "frames" if frames is None else "pixels"
            raise InputError(f"model.weights={self.name} does not say how many {missing} it takes")
        mean, std = _normalisation(processor)
        return ClipSettings(frames, side, mean, std)

    def class_names(self) -> list[str] | None:
        """Its classes, in the order of the logits; None if it does not name them."""
        labels = self.config().get("id2label")
        return [str(labels[key]) for key in sorted(labels, key=int)] if labels else None

    def num_classes(self) -> int:
        """Width of its classifier; where nothing is said of it, transformers takes two."""
        return len(self.class_names() or ()) or int(self.config().get("num_labels", 2))

    def _processor(self) -> dict[str, Any]:
        paths = (self.described / name for name in PROCESSORS)
        path = next((path for path in paths if path.is_file()), None)
        if path is None:
            raise InputError(
                f"model.weights={self.name} does not say how its clips are normalised: it holds "
                f"none of {', '.join(PROCESSORS)}"
            )
        processor = _read(path)
        return processor.get("video_processor", processor)


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}, and a mapping is needed")
    return values


def _side(size: Any) -> int | None:
    """A side in pixels, however a configuration writes a square."""
    if isinstance(size, dict):
        size = size.get("height") or size.get("shortest_edge")
    if isinstance(size, list | tuple):
        size = size[0]
    return size if isinstance(size, int) else None


def _normalisation(
    processor: Mapping[str, Any],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation for pixels in [0, 1].

    A processor takes bytes b to ``(b * factor - offset - mean) / std``, ours to
    ``(b / 255 - mean) / std``.
    """
    factor, offset = 1.0, 0.0
    if processor.get("do_rescale", True):
        factor = 255 * processor.get("rescale_factor", 1 / 255)
        kind = processor.get("video_processor_type") or processor.get("image_processor_type") or ""
        # ViViT's for videos never says that it has one.
        offset = float(processor.get("offset", kind.startswith("Vivit")))
    means, deviations = [0.0] * 3, [1.0] * 3
    if processor.get("do_normalize", True):
        means = processor.get("image_mean") or means
        deviations = processor.get("image_std") or deviations
    # Rounded, as 255 * (1 / 255) is not quite one.
    a, b, c = (round((mean + offset) / factor, 9) for mean in means)
    d, e, f = (round(deviation / factor, 9) for deviation in deviations)
    return (a, b, c), (d, e, f)


def _hub() -> Any:
    """The package huggingface_hub.

    Raises:
        InputError: it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError:
        raise InputError(
            "models of the hub need packages that are not installed: pip install 'vitprune[hub]'"
        ) from None
    return huggingface_hub
