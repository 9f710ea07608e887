"""What ``bundle.json`` says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitprune.deploy.clips import ClipRule
from vitprune.errors import InputError

DESCRIPTION = "bundle.json"
CHECK = "check.npz"
PROVENANCE = "provenance.json"
VERSION = 1
"""Of what ``bundle.json`` says."""
LAYOUTS = {
    5: "batch, colour, frame, row, column",
    4: "batch, frames of the first colour and then of the others, row, column",
}
"""Of the models' input, by the number of its dimensions."""


@dataclass(frozen=True)
class Quantised:
    """How a model in int8 answers the clips from which it learnt the ranges of its activations.

    Attributes:
        clips: how many there were.
        loss: of their answers the share that is another than in float32, in points: Top-1 cannot
            have lost more on them.
        float_layers: the layers that stayed in float, in order of execution.
        max_loss: that was allowed, in points; None for any.
        way: ``smooth``, with SmoothQuant, or ``plain``.
        rest: in which what is not in int8 is computed: ``float32``, or ``bfloat16`` where OpenVINO
            runs it on a processor that has it.
    """

    clips: int
    loss: float
    float_layers: tuple[int, ...] = ()
    max_loss: float | None = None
    way: str = "plain"
    rest: str = "float32"


@dataclass(frozen=True)
class ModelFile:
    """A model in one format and precision.

    Attributes:
        runtime: what runs it, see :data:`vitprune.deploy.formats.FORMATS`.
        precision: in which it computes.
        files: its files; the first is the one to open.
        bytes: all of them together.
        tolerance: by how much a logit may differ from torch's in float32. Of a reduced precision
            twice what was found when it was made.
        opset: of ONNX, where it was written as such.
        quantised: what is known of a model in int8.
    """

    runtime: str
    precision: str
    files: tuple[str, ...]
    bytes: int
    tolerance: float
    opset: int | None = None
    quantised: Quantised | None = None

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> ModelFile:
        """What ``bundle.json`` says of it."""
        known = plain.get("quantised")
        quantised = known and Quantised(**{**known, "float_layers": tuple(known["float_layers"])})
        return cls(**{**plain, "files": tuple(plain["files"]), "quantised": quantised})

    @property
    def rest(self) -> str:
        """In which what is not in int8 is computed."""
        return self.quantised.rest if self.quantised else self.precision

    @property
    def name(self) -> str:
        """What it is called in tables and messages."""
        return self.runtime if self.precision == "float32" else f"{self.runtime} {self.precision}"


@dataclass(frozen=True)
class Description:
    """All that is known of a bundle.

    Attributes:
        classes: what the logits are for, in order.
        clip: how clips are taken from videos.
        batch: how many clips the models take at once; None for any number.
        dims: of the models' input: 5, or 4 where each colour's frames come one after the other.
        models: at least one.
        model: title, specification, dropped units and bridges of what was exported, parameters
            and FLOPs.
        provenance: checkpoint, its digest, and Top-1 with its interval, as far as they are known.
        versions: of the packages that made it.
        seconds: that exporting took, without checking and measuring.
        measured: rows of :func:`vitprune.deploy.measuring.measure`, also of models that this one
            was measured beside; none if it was not.
        machine: on which that was measured.
    """

    classes: Sequence[str]
    clip: ClipRule
    batch: int | None
    dims: int
    models: Sequence[ModelFile]
    model: Mapping[str, Any]
    provenance: Mapping[str, Any]
    versions: Mapping[str, Any]
    seconds: float
    measured: Sequence[Mapping[str, Any]] = ()
    machine: Mapping[str, Any] | None = None

    @property
    def shape(self) -> tuple[int | None, int, int, int, int]:
        """Of clips, [B, 3, T, H, W]; None for any number of them."""
        size = self.clip.image_size
        return (self.batch, 3, self.clip.num_frames, size, size)

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Of the same numbers in the same order, as the models take them."""
        batch, colours, frames, *size = self.shape
        return self.shape if self.dims == 5 else (batch, colours * frames, *size)

    def plain(self) -> dict[str, Any]:
        """As ``bundle.json`` has it."""
        return {
            "bundle": VERSION,
            "classes": list(self.classes),
            "clip": self.clip.plain(),
            "input": {
                "name": "clips", "dtype": "float32", "shape": list(self.input_shape),
                "layout": LAYOUTS[self.dims],
            },
            "output": {
                "name": "logits", "dtype": "float32", "shape": [self.batch, len(self.classes)],
            },
            "models": [asdict(one) for one in self.models],
            "model": dict(self.model),
            "check": {"file": CHECK, "clips": "uint8, batch, frame, row, column, colour"},
            "provenance": dict(self.provenance),
            "versions": dict(self.versions),
            "seconds": self.seconds,
            "measured": [dict(row) for row in self.measured],
            "machine": self.machine,
        }  # fmt: skip

    @classmethod
    def read(cls, directory: str | Path) -> Description:
        """What the ``bundle.json`` of a directory says.

        Raises:
            InputError: there is none, or it is of another version.
        """
        path = Path(directory) / DESCRIPTION
        try:
            plain = json.loads(path.read_text())
            if plain["bundle"] != VERSION:
                raise InputError(
                    f"{path} is of version {plain['bundle']}, and this vitprune reads {VERSION}; "
                    "export the model again"
                )
            return cls(
                classes=plain["classes"],
                clip=ClipRule.of(plain["clip"]),
                batch=plain["input"]["shape"][0],
                dims=len(plain["input"]["shape"]),
                models=[ModelFile.of(one) for one in plain["models"]],
                **{
                    key: plain[key]
                    for key in (
                        "model",
                        "provenance",
                        "versions",
                        "seconds",
                        "measured",
                        "machine",
                    )
                },
            )
        except OSError as error:
            raise InputError(f"{directory} is no bundle: {DESCRIPTION} is not there") from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is damaged: {error}; export the model again") from error
