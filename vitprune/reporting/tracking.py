"""What goes to W&B besides the curves that Lightning sends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from vitprune.reporting.lineage import Asset


class Tracker:
    """One job's logger, and the run it opens; without a W&B logger every call does nothing.

    A context manager: leaving it ends the run, so that each job of a multirun gets its own, and
    marks the run as failed when an exception left it.
    """

    def __init__(self, logger: Logger | None) -> None:
        self.logger = logger
        self._inputs: list[str] = []

    @property
    def _run(self) -> Any:
        return self.logger.experiment if isinstance(self.logger, WandbLogger) else None

    def config(self, values: Mapping[str, Any]) -> None:
        """Record the resolved configuration."""
        if self.logger is not None:
            self.logger.log_hyperparams(dict(values))

    @rank_zero_only
    def summary(self, values: Mapping[str, Any]) -> None:
        """Set final values, nested names joined by dots."""
        if self._run:
            self._run.summary.update(dict(values))

    @rank_zero_only
    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Log a table."""
        if self._run:
            import wandb

            self._run.log({name: wandb.Table(columns=list(columns), data=[list(r) for r in rows])})

    @rank_zero_only
    def series(self, axis: str, values: Mapping[str, Sequence[float]]) -> None:
        """Log values over an axis of their own, 0, 1, ..., as charts that runs can share."""
        if self._run:
            self._run.define_metric(axis, hidden=True)
            for name in values:
                self._run.define_metric(name, step_metric=axis, summary="none")
            for i, row in enumerate(zip(*values.values(), strict=True)):
                self._run.log({axis: i, **dict(zip(values, row, strict=True))})

    @rank_zero_only
    def image(self, name: str, path: Path) -> None:
        """Log a picture."""
        if self._run:
            import wandb

            self._run.log({name: wandb.Image(str(path))})

    @rank_zero_only
    def video(self, name: str, path: Path) -> None:
        """Log an mp4."""
        if self._run:
            import wandb

            self._run.log({name: wandb.Video(str(path), format="mp4")})

    @rank_zero_only
    def html(self, name: str, path: Path) -> None:
        """Log a page that needs no other file."""
        if self._run:
            import wandb

            self._run.log({name: wandb.Html(path.read_text(), inject=False)})

    @rank_zero_only
    def takes(self, asset: Asset) -> None:
        """Record an input of the run."""
        if run := self._run:
            artifact = _artifact(asset, asset.metadata)
            self._inputs.append(f"{asset.name}@{artifact.digest}")
            if run.offline:
                # use_artifact refuses to work offline, as it would wait for the server. This is
                # what it does with an artifact of one's own, without the waiting; `wandb sync`
                # then sends it as an input.
                run._log_artifact(artifact, is_user_created=True, use_after_commit=True)
            else:
                run.use_artifact(artifact)

    @rank_zero_only
    def makes(self, asset: Asset) -> None:
        """Record an output of the run; its metadata names the inputs taken so far."""
        if self._run:
            artifact = _artifact(asset, {**asset.metadata, "inputs": self._inputs})
            self._run.log_artifact(artifact)

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(self.logger, WandbLogger):
            import wandb

            if wandb.run is not None:
                wandb.finish(exit_code=0 if kind is None else 1)


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
