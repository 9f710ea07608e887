"""A checkpoint's pass over the test split, with its own input and beside it with another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytorch_lightning as pl
from torch import Tensor

from vitprune.pruning import costs
from vitprune.results.statistics import mcnemar
from vitprune.tasks.run import Run
from vitprune.tasks.subject import Subject, subject_of
from vitprune.training import VideoClassifier
from vitprune.training.callbacks import AnsweredRight

if TYPE_CHECKING:
    from vitprune.launch.configuration import Evaluate


def at_input(own: Subject[Evaluate], cfg: Evaluate, path: Path) -> Subject[Evaluate]:
    """The same with the input that ``cfg`` asks for; ``own`` itself if it is its own.

    Raises:
        InputError: the model takes no clips of that size.
    """
    spec = own.classifier.model.spec
    frames, size = cfg.frames or spec.num_frames, cfg.size or spec.image_size
    if (frames, size) == (spec.num_frames, spec.image_size):
        return own
    return subject_of(cfg, path, own.classifier.at_input(frames, size))


@dataclass(frozen=True)
class Tested:
    """A classifier after its pass over the test split.

    Attributes:
        classifier: that was tested.
        trainer: that did it.
        hits: which videos it answered right.
        clip: one that it was shown, [1, 3, T, H, W], on the CPU.
    """

    classifier: VideoClassifier
    trainer: pl.Trainer
    hits: AnsweredRight
    clip: Tensor

    @property
    def accuracy(self) -> dict[str, float]:
        """Top-1 and Top-5."""
        metrics = self.trainer.callback_metrics  # test() returns those that a logger got
        return {key: float(metrics[f"test/{key}"]) for key in ("top1", "top5")}

    def right(self) -> dict[int, bool]:
        """Number of every test video -> whether it was answered right."""
        return dict(zip(self.hits.videos, self.hits.right.tolist(), strict=True))


def tested(run: Run, subject: Subject[Evaluate], *callbacks: pl.Callback) -> Tested:
    """Test the subject; every process of a job must call it."""
    hits = AnsweredRight()
    trainer = run.trainer([hits, *callbacks])
    trainer.test(subject.classifier, datamodule=subject.data, verbose=False)
    clip = subject.data.splits["test"][0]["clips"][:1]
    return Tested(subject.classifier, trainer, hits, clip)


def costs_of(every: Sequence[Tested]) -> list[dict[str, Any]]:
    """What each classifier costs on its own clip, measured in turns where they were tested."""
    trainer = every[0].trainer
    for one in every:
        one.classifier.to(trainer.strategy.root_device)  # the trainer has put it back on the CPU
    clips = [one.clip.to(next(one.classifier.parameters())) for one in every]
    models = [one.classifier.model for one in every]
    return [*map(asdict, costs(models, clips, trainer.precision_plugin.forward_context))]


def beside_own(own: Tested, cost: Mapping[str, Any], other: Tested) -> dict[str, Any]:
    """What a checkpoint has with its own input, beside which another was tested.

    Args:
        own: with its own input.
        cost: of that, measured in turns with the other's.
        other: the same checkpoint with the other input.

    Returns:
        As :class:`vitprune.tasks.evaluate.Evaluated` has it under ``own_input``.
    """
    spec = own.classifier.model.spec
    before, after = own.right(), other.right()
    both = before.keys() & after.keys()
    lost = sum(before[video] and not after[video] for video in both)
    won = sum(after[video] and not before[video] for video in both)
    return {
        "num_frames": spec.num_frames,
        "image_size": spec.image_size,
        **own.accuracy,
        **cost,
        "paired": {
            "videos": len(both),
            "right_to_wrong": lost,
            "wrong_to_right": won,
            "p_value": mcnemar(lost, won),
        },
    }
