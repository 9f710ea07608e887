"""A bundle as a function: clips to logits, a video file to the probabilities of its classes."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitprune.deploy.clips import normalised, read_pixels
from vitprune.deploy.description import CHECK, Description, ModelFile
from vitprune.deploy.formats import check_installed, runs
from vitprune.deploy.runtimes import Model, batched, open_model
from vitprune.errors import InputError


@dataclass(frozen=True)
class Bundle:
    """A bundle with one of its models opened; :meth:`load` makes one.

    It needs NumPy, PyAV and the model's runtime, and not torch.

    Attributes:
        directory: where it lies.
        description: what its ``bundle.json`` says.
        opened: which of its models this is.

    Example::

        bundle = Bundle.load("bundle")
        bundle.classify("video.mp4")  # {"drinking": 0.93, "texting": 0.04, ...}
    """

    directory: Path
    description: Description
    opened: ModelFile
    _model: Model

    @classmethod
    def load(
        cls,
        directory: str | Path,
        runtime: str | None = None,
        *,
        precision: str | None = None,
        threads: int | None = None,
    ) -> Bundle:
        """Open a bundle.

        Args:
            directory: of the bundle.
            runtime: ``onnx``, ``openvino`` or ``torch``; by default the first that the bundle has
                a model for and that is installed.
            precision: of the model; by default the first that the runtime has.
            threads: how many compute; by default as many as the runtime chooses.

        Raises:
            InputError: the directory is no bundle, has no such model, or its runtime is not
                installed or cannot run it.
        """
        directory = Path(directory)
        description = Description.read(directory)
        chosen = _chosen(directory, description, runtime, precision)
        model = open_model(
            directory / chosen.files[0],
            chosen.runtime,
            precision=chosen.rest,
            threads=threads,
        )
        return cls(directory, description, chosen, batched(model, description.input_shape))

    @property
    def classes(self) -> list[str]:
        """What the logits are for, in order."""
        return list(self.description.classes)

    def __call__(self, clips: Any) -> NDArray[np.float32]:
        """Logits [N, C] of clips, float32 [N, 3, T, H, W], normalised, for any N.

        Raises:
            ValueError: the clips have another shape than the model takes.
            InputError: the runtime cannot run the model.
        """
        clips = np.asarray(clips, dtype=np.float32)
        _, *shape = self.description.shape
        if list(clips.shape[1:]) != shape or not len(clips):
            raise ValueError(f"clips are {list(clips.shape)}, and the model takes [N, {shape}]")
        return self._model(clips)

    def clip(self, video: str | Path) -> NDArray[np.float32]:
        """The clip that :meth:`classify` shows the model: float32 [3, T, H, W], normalised.

        Raises:
            InputError: the file is missing, no video, or damaged.
        """
        rule = self.description.clip
        return normalised(read_pixels(video, rule), rule)

    def classify(self, video: str | Path) -> dict[str, float]:
        """The probability of every class, from one clip in the centre of a video file.

        Raises:
            InputError: the file is missing, no video, or damaged.
        """
        (logits,) = self(self.clip(video)[None])
        odds = np.exp(logits.astype(np.float64) - logits.max())
        return dict(zip(self.classes, (odds / odds.sum()).tolist(), strict=True))

    def check_clips(self) -> NDArray[np.float32]:
        """The clips of the check as the model takes them: float32 [N, 3, T, H, W].

        Raises:
            InputError: the check is not there or damaged.
        """
        pixels, _ = read_check(self.directory)
        return normalised(pixels, self.description.clip)

    def deviation(self) -> float:
        """The largest difference of a logit from what torch gave for the clips of the check.

        Raises:
            InputError: the check is not there or damaged.
        """
        _, expected = read_check(self.directory)
        return float(np.abs(self(self.check_clips()) - expected).max())  # nan where a logit is

    def check(self) -> float:
        """:meth:`deviation`, if it is one that is tolerated.

        Raises:
            InputError: it is not, or there is no check.
        """
        deviation, tolerance = self.deviation(), self.opened.tolerance
        if not deviation <= tolerance:
            raise InputError(
                f"{self.directory}: {self.opened.name} fails its check: a logit differs by "
                f"{deviation:.2g} from torch's, and {tolerance:.2g} is tolerated"
            )
        return deviation


def read_check(directory: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A bundle's check: pixels of clips [N, T, H, W, 3], and torch's logits [N, C].

    Raises:
        InputError: it is not there or damaged.
    """
    path = directory / CHECK
    try:
        with np.load(path) as arrays:
            return arrays["clips"], arrays["logits"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is missing or damaged: the bundle cannot be checked") from error


def _chosen(
    directory: Path, description: Description, runtime: str | None, precision: str | None
) -> ModelFile:
    models = [
        one
        for one in description.models
        if runtime in (None, one.runtime) and precision in (None, one.precision)
    ]
    if not models:
        asked = " ".join(filter(None, [runtime, precision]))
        known = ", ".join(one.name for one in description.models)
        raise InputError(f"{directory} has no model for {asked}; it has {known}")
    for one in models:
        if runs(one.runtime):
            return one
    check_installed([models[0].runtime], write=False)
    raise AssertionError("it is not installed")
