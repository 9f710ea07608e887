"""What goes to W&B. Results come first: no trouble with W&B ends a job that has begun its work."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from vitprune.errors import InputError, in_one_line
from vitprune.tracking.lineage import Asset

log = logging.getLogger(__name__)

STEP = "trainer/global_step"
"""What Lightning calls the axis of the curves that it logs."""


class RunLogger(WandbLogger):
    """Lightning's logger for W&B, of which the first failure is a warning and the end.

    Args:
        run: that of W&B; None in processes that do not log.
        save_dir: where it lies.
    """

    def __init__(self, run: Any, save_dir: str) -> None:
        super().__init__(experiment=run, save_dir=save_dir)
        self.failed = False

    def attempt(self, call: Callable[[], object]) -> None:
        """Call W&B, unless it has failed before."""
        if self.failed:
            return
        try:
            call()
        except Exception as error:  # whatever it is: the job goes on without
            self.failed = True
            _warn(error)

    @rank_zero_only
    def log_hyperparams(self, params: Any) -> None:
        self.attempt(lambda: super(RunLogger, self).log_hyperparams(params))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.attempt(lambda: super(RunLogger, self).log_metrics(metrics, step))


def wandb_logger(*, save_dir: str, mode: str = "offline", **settings: Any) -> RunLogger | None:
    """Opens a run; None, after a warning, where that fails although it is offline.

    Args:
        save_dir: the job's directory.
        mode: ``offline``, ``online`` or ``disabled``.
        settings: what else ``wandb.init`` takes.

    Raises:
        InputError: W&B refuses ``mode=online``: no login, a wrong key, or no network.
    """
    run = None
    if rank_zero_only.rank == 0:  # type: ignore[attr-defined]
        import wandb

        online = mode == "online"
        try:
            run = wandb.init(
                dir=save_dir,
                mode=mode,  # type: ignore[arg-type]
                reinit="finish_previous",
                # Its own words offline are many; the one that is needed is said at the end.
                settings=wandb.Settings(quiet=online, silent=not online),
                **settings,
            )
            run.define_metric(STEP)
            run.define_metric("*", step_metric=STEP, step_sync=True)
        except Exception as error:
            if online:
                raise InputError(
                    f"logger.mode=online: {in_one_line(error)}; log in with `wandb login`, or use "
                    "logger.mode=offline"
                ) from error
            _warn(error)
            return None
    return RunLogger(run, save_dir)


class Tracker:
    """One job's logger, and what goes to W&B besides the curves that Lightning sends.

    A context manager. What it is told is sent when the context is left, or by :meth:`send`, so that
    by then the job has written its results; leaving ends the run, so that each job of a multirun
    gets its own. An exception that leaves the context marks the run as failed, and the rest is not
    sent. Without a W&B logger every call does nothing.
    """

    def __init__(self, logger: Logger | None) -> None:
        self.logger = logger
        self._outbox: list[Callable[[Any], object]] = []
        self._inputs: list[str] = []

    def _send_later(self, call: Callable[[Any], object]) -> None:
        """Call with the W&B run when the context is left."""
        if isinstance(self.logger, RunLogger) and rank_zero_only.rank == 0:  # type: ignore[attr-defined]
            self._outbox.append(call)

    def _log(self, name: str, make: Callable[[Any], object]) -> None:
        """Log, when the context is left, what ``make`` then makes with the package wandb."""

        def send(run: Any) -> None:
            import wandb

            run.log({name: make(wandb)})

        self._send_later(send)

    def config(self, values: Mapping[str, Any]) -> None:
        """Record the resolved configuration, at once."""
        if self.logger is not None:
            self.logger.log_hyperparams(dict(values))

    def summary(self, values: Mapping[str, Any]) -> None:
        """Set final values, nested names joined by dots."""
        self._send_later(lambda run: run.summary.update(dict(values)))

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table."""
        data = [list(row) for row in rows]
        self._log(name, lambda wandb: wandb.Table(columns=list(columns), data=data))

    def series(self, axis: str, values: Mapping[str, Sequence[float]]) -> None:
        """Log values over an axis of their own, 0, 1, ..., as charts that runs can share."""

        def send(run: Any) -> None:
            run.define_metric(axis, hidden=True)
            for name in values:
                run.define_metric(name, step_metric=axis, summary="none")
            for i, row in enumerate(zip(*values.values(), strict=True)):
                run.log({axis: i, **dict(zip(values, row, strict=True))})

        self._send_later(send)

    def image(self, name: str, path: Path) -> None:
        """Log a picture."""
        self._log(name, lambda wandb: wandb.Image(str(path)))

    def video(self, name: str, path: Path) -> None:
        """Log an mp4."""
        self._log(name, lambda wandb: wandb.Video(str(path), format="mp4"))

    def html(self, name: str, path: Path) -> None:
        """Log a page that needs no other file."""
        self._log(name, lambda wandb: wandb.Html(path.read_text(), inject=False))

    def takes(self, asset: Asset) -> None:
        """Record an input of the run.

        Its name and digest go to ``inputs`` in the run's configuration and in the metadata of what
        the run makes. Online it is also declared to W&B, which draws the lineage from that; W&B has
        no public way to declare an input offline, as it would have to ask the server for it.
        """

        def send(run: Any) -> None:
            artifact = _artifact(asset, asset.metadata)
            self._inputs.append(f"{asset.name}@{artifact.digest}")
            run.config.update({"inputs": list(self._inputs)}, allow_val_change=True)
            if not run.offline:
                run.use_artifact(artifact)

        self._send_later(send)

    def makes(self, asset: Asset) -> None:
        """Record an output of the run; its metadata names the inputs taken before."""
        self._send_later(
            lambda run: run.log_artifact(
                _artifact(asset, {**asset.metadata, "inputs": list(self._inputs)})
            )
        )

    def send(self) -> None:
        """Send what it was told so far: what is still to come may fail."""
        calls, self._outbox = self._outbox, []
        if isinstance(logger := self.logger, RunLogger):
            for call in calls:
                logger.attempt(lambda call=call: call(logger.experiment))  # type: ignore[misc]

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logger = self.logger
        if not isinstance(logger, RunLogger) or rank_zero_only.rank != 0:  # type: ignore[attr-defined]
            return
        run = logger.experiment
        if kind is None:
            self.send()
        if logger.failed:
            with suppress(Exception):  # it has been said
                run.finish(exit_code=1)
            return
        logger.attempt(lambda: run.finish(exit_code=0 if kind is None else 1))
        if not (kind or logger.failed or run.disabled):
            log.info("W&B: %s", f"wandb sync {run.settings.sync_dir}" if run.offline else run.url)


def _warn(error: Exception) -> None:
    log.warning(
        "W&B failed (%s): this job goes on without; its results are in its directory all the same",
        in_one_line(error),
    )


def _artifact(asset: Asset, metadata: Mapping[str, Any]) -> Any:
    import wandb

    artifact = wandb.Artifact(asset.name, type=asset.kind, metadata=dict(metadata))
    for name, content in asset.files.items():
        if isinstance(content, Path):
            # Not copied, or a sweep would keep a copy of the same checkpoint for every cell. An
            # offline run must therefore be synced while its files are where they were.
            artifact.add_file(str(content), name=name, policy="immutable")
        else:
            with artifact.new_file(name) as file:
                json.dump(content, file)
    return artifact
