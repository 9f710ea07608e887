"""What a job works with besides its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pytorch_lightning as pl
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from rich.console import Console
from torch.utils.data import DataLoader, IterableDataset

from vitprune.errors import InputError
from vitprune.importance import ScoreStore
from vitprune.pruning.unit_costs import LatencyStore
from vitprune.results.environment import environment
from vitprune.results.writing import publishing
from vitprune.tracking import Tracker
from vitprune.training import VideoClassifier
from vitprune.training.attempt import WholeCheckpoints
from vitprune.training.callbacks import WaitingForData

if TYPE_CHECKING:
    from vitprune.launch.configuration import Job


Result = TypeVar("Result")


class Run:
    """A job's directory, trainer, tracker, store of scores and seed.

    A context manager: within it the tracker is open; what it was told is sent when it is left.

    Args:
        cfg: the job's configuration.
        kind: ``train``, ``prune``, ``evaluate`` or ``explain``.
        directory: where its files go.
        group: the sweep that it belongs to.
        experiment: the experiment that was asked for.
    """

    def __init__(
        self,
        cfg: Job,
        kind: str,
        directory: Path,
        *,
        group: str | None = None,
        experiment: str | None = None,
    ) -> None:
        self.cfg = cfg
        self.kind = kind
        self.directory = directory
        self.group = group
        self.experiment = experiment
        self.tracker = Tracker(None)

    def beside(self, kind: str, directory: Path) -> Run:
        """Another run of the same job: the fine-tuning that has to come first."""
        return Run(self.cfg, kind, directory, group=self.group, experiment=self.experiment)

    def seed(self) -> None:
        """Seed everything, workers too."""
        pl.seed_everything(self.cfg.seed, workers=True, verbose=False)

    def __enter__(self) -> Run:
        self.tracker = Tracker(self._logger())
        self.tracker.__enter__()
        self.tracker.config(self.cfg.plain())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.tracker.__exit__(kind, error, traceback)

    def _logger(self) -> Any:
        """The configured logger, named after the job; runs of a sweep share a group."""
        if self.cfg.logger is None:
            return None
        labels = self.cfg.labels()
        return build(
            "logger",
            self.cfg.logger.node(),
            save_dir=str(self.directory),
            name="-".join([self.kind, *labels[:2]]),
            job_type=self.kind,
            group=self.cfg.logger.group or self.group,
            tags=[*labels, *filter(None, [self.experiment])],
        )

    def trainer(
        self, callbacks: Sequence[pl.Callback] = (), *loggers: Logger, **settings: Any
    ) -> pl.Trainer:
        """The configured trainer; ``loggers`` beside the tracker's own, ``settings`` of its own."""
        tracked = self.tracker.logger
        return build(
            "trainer",
            {**self.cfg.trainer.node(), **settings},
            plugins=[WholeCheckpoints(), *instantiate(self.cfg.trainer.plugins)],
            default_root_dir=str(self.directory),
            logger=[*([] if tracked is None else [tracked]), *loggers],
            callbacks=[
                *([Progress(leave=True)] if settings.get("enable_progress_bar", True) else []),
                *callbacks,
                WaitingForData(self.cfg.dataset.num_workers),  # last, so that theirs is work
            ],
            enable_model_summary=False,
            enable_checkpointing=any(isinstance(c, pl.callbacks.Checkpoint) for c in callbacks),
        )

    def at_work(self, classifier: VideoClassifier, work: Callable[[pl.Trainer], Result]) -> Result:
        """Do ``work`` where a trainer computes: on its device, in its precision, as one of its
        processes.

        Args:
            classifier: what the work is about; it is on the device meanwhile.
            work: gets the trainer.
        """
        at_work = _AtWork(classifier, work)
        trainer = self.trainer(enable_progress_bar=False)
        trainer.predict(at_work, _ONE_EACH, return_predictions=False)
        return at_work.result

    def store(self) -> ScoreStore:
        """Scores that were measured before."""
        return ScoreStore(Path(self.cfg.runs) / "cache" / "importance", enabled=self.cfg.cache)

    def latencies(self) -> LatencyStore:
        """What shares of latency units took when that was measured before."""
        return LatencyStore(Path(self.cfg.runs) / "cache" / "latency", enabled=self.cfg.cache)

    @contextmanager
    def publishing(self, results: Mapping[str, Any]) -> Iterator[None]:
        """Around the writing of the job's files; ends with ``results.json``, and tells W&B."""
        with publishing(self.directory, results):
            yield
        self.tracker.summary(results)

    def say_where(self) -> None:
        """Print where the results are."""
        Console().print(f"Results: {self.directory}", highlight=False, soft_wrap=True)


class _OneEach(IterableDataset[int]):
    """An item for every process."""

    def __iter__(self) -> Iterator[int]:
        yield 0


_ONE_EACH = DataLoader(_OneEach())


class _AtWork(pl.LightningModule, Generic[Result]):
    """Lightning sets everything up for a prediction; the work is done before there is one."""

    result: Result

    def __init__(self, classifier: VideoClassifier, work: Callable[[pl.Trainer], Result]) -> None:
        super().__init__()
        self.classifier = classifier
        self._work = work

    def on_predict_start(self) -> None:
        self.result = self._work(self.trainer)

    def predict_step(self, item: Any, *_: Any) -> Any:
        """Nothing is predicted."""
        return item


class Progress(RichProgressBar):
    """Lightning's, without the loggers' version numbers."""

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        return {name: value for name, value in metrics.items() if name != "v_num"}


def build(name: str, node: Any, /, **arguments: Any) -> Any:
    """Hydra's ``instantiate``, with what is wrong in the configuration said in one line.

    Raises:
        InputError: names the part of the configuration.
    """
    try:
        return instantiate(node, **arguments)
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, InputError):
            raise cause from None
        if isinstance(cause, MisconfigurationException | ValueError | TypeError):
            line = str(cause).splitlines()[0]
            raise InputError(f"{name}: {line} (conf/{name} has what works)") from None
        raise


def surroundings(trainer: pl.Trainer) -> dict[str, Any]:
    """Versions, commit, machine, and the device that computed."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {**environment(), "torch": torch.__version__, "device": name}
