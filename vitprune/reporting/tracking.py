"""What goes to W&B besides the curves that Lightning sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only


class Tracker:
    """One job's logger, and the run it opens; without a W&B logger every call does nothing.

    A context manager: leaving it ends the run, so that each job of a multirun gets its own, and
    marks the run as failed when an exception left it.
    """

    def __init__(self, logger: Logger | None) -> None:
        self.logger = logger

    @property
    def _run(self) -> Any:
        return self.logger.experiment if isinstance(self.logger, WandbLogger) else None

    def config(self, cfg: DictConfig) -> None:
        """Record the resolved configuration."""
        if self.logger is not None:
            self.logger.log_hyperparams(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]

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
    def artifact(self, name: str, kind: str, path: Path, metadata: Mapping[str, Any]) -> None:
        """Log a file as an artifact of type ``kind``."""
        if self._run:
            import wandb

            artifact = wandb.Artifact(name, type=kind, metadata=dict(metadata))
            artifact.add_file(str(path))
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
