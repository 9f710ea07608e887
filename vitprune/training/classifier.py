"""Fine-tuning and evaluating a video transformer with Lightning, and its checkpoints."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from timm.optim import param_groups_layer_decay
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.tv_tensors import Video

from vitprune.errors import InputError
from vitprune.files import replacing
from vitprune.models.bridge import bridges, take_apart
from vitprune.models.build import build_model
from vitprune.models.chain import VideoTransformer
from vitprune.models.finite import NotFinite, check_logits, names_of, remedy
from vitprune.models.inputs import at_input
from vitprune.training.per_video import MeanPerVideo, rank
from vitprune.training.provenance import DESCRIPTION, Provenance


def view_probabilities(
    model: nn.Module,
    clips: Tensor,
    names: Sequence[str] | None = None,
    at_once: int | None = None,
) -> Tensor:
    """The softmax of ``model``, averaged over the views of each video.

    Args:
        model: clips [N, 3, T, H, W] to logits [N, C].
        clips: [B, V, 3, T, H, W], V views of each of B videos.
        names: what the videos are called, for the error.
        at_once: how many views go through the model at once, as thirty of a video need the memory
            of thirty videos; None for all.

    Returns:
        Probabilities [B, C] in float32.

    Raises:
        NotFinite: a logit is nan or infinite.
    """
    flat = clips.flatten(0, 1)
    logits = torch.cat([model(part) for part in flat.split(at_once or len(flat))])
    check_logits(logits, model, flat, names)
    return logits.float().softmax(dim=-1).unflatten(0, clips.shape[:2]).mean(dim=1)


def at_once_of(batch: Mapping[str, Any]) -> int | None:
    """How many views of a batch a model is to take at once; None where it does not say."""
    return batch.get("at_once")


class VideoClassifier(pl.LightningModule):
    """A :class:`VideoTransformer` with its classes, its clip settings and its training recipe.

    Batches are dicts of ``clips`` [B, V, 3, T, H, W] (one view in training), ``label`` [B],
    ``video`` [B] and, where they say so, ``name``, for errors to name videos by, and ``at_once``,
    how many views the model is to take at once.

    Args:
        model: the backbone with its classifier.
        class_names: in the order of the logits.
        clip_settings: how clips are taken from videos (frames, size, sampling, normalisation),
            kept in checkpoints so that one can be evaluated without its configuration.
        provenance: what the model was fine-tuned with, kept in checkpoints; None if unknown.
        lr: peak learning rate of AdamW.
        weight_decay: not applied to biases, norms and position embeddings.
        layer_decay: the learning rate of a layer is ``lr * layer_decay ** (layers above it)``
            (BEiT, arXiv:2106.08254); 1 gives all layers the same.
        warmup: fraction of the steps in which the learning rate rises linearly from 0.
        label_smoothing: weight of the uniform distribution in the target.
        mixup: alpha of the Beta distribution (arXiv:1710.09412); 0 for none.
    """

    def __init__(
        self,
        model: VideoTransformer,
        class_names: Sequence[str],
        clip_settings: Mapping[str, Any],
        *,
        provenance: Provenance | None = None,
        lr: float = 1e-4,
        weight_decay: float = 0.05,
        layer_decay: float = 1.0,
        warmup: float = 0.1,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
    ) -> None:
        super().__init__()
        self.model = model
        self.class_names = list(class_names)
        self.clip_settings = dict(clip_settings)
        self.provenance = provenance
        self.lr = lr
        self.weight_decay = weight_decay
        self.layer_decay = layer_decay
        self.warmup = warmup
        self.loss = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        classes = len(self.class_names)
        self.mixup = v2.MixUp(alpha=mixup, num_classes=classes) if mixup > 0 else None
        names = ("train_top1", "train_top5", "val_top1", "val_top5", "val_loss", "test_top1",
                 "test_top5")  # fmt: skip
        self.metrics = nn.ModuleDict({name: MeanPerVideo(1) for name in names})

    def forward(self, clips: Tensor) -> Tensor:
        """Logits [B, C] of clips [B, 3, T, H, W]."""
        return self.model(clips)

    def on_train_batch_start(self, batch: dict[str, Any], batch_idx: int) -> None:
        # Layer decay gives many learning rates in fixed proportions; the highest stands for all.
        (optimizer,) = self.trainer.optimizers
        self.log("lr", max(group["lr"] for group in optimizer.param_groups))

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        clips, label = batch["clips"].flatten(0, 1), batch["label"]
        if not len(label):  # none could be read; other processes wait for this one's gradients
            self._log_accuracy("train", label.new_zeros(0, len(self.class_names)).float(), batch)
            return 0 * self.model(clips.new_zeros(1, *clips.shape[1:])).sum()
        target = label
        if self.mixup is not None:
            clips, target = self.mixup(Video(clips), label)
        logits, loss = self.objective(clips.as_subclass(Tensor), target)
        if not loss.isfinite():
            raise NotFinite(
                f"fine-tuning: the loss is {loss.item()} in epoch {self.current_epoch}, step "
                f"{self.global_step}; {remedy(logits)}"
            )
        self.log("train/loss", loss, prog_bar=True, batch_size=len(label))
        self._log_accuracy("train", logits, batch)
        return loss

    def objective(self, clips: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """What is trained: logits [B, C] of clips [B, 3, T, H, W], and the loss.

        Args:
            clips: of a batch.
            target: labels [B], or [B, C] where mixup mixes them.
        """
        logits = self.model(clips)
        return logits, self.loss(logits, target)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        probabilities = self._probabilities(batch)
        likelihood = probabilities.gather(1, batch["label"][:, None])
        self._log_mean("val", "loss", -likelihood.clamp_min(1e-12).log(), batch)
        self._log_accuracy("val", probabilities, batch)

    def test_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
        probabilities = self._probabilities(batch)
        self._log_accuracy("test", probabilities, batch)
        return {"probabilities": probabilities}

    def _probabilities(self, batch: Mapping[str, Any]) -> Tensor:
        clips, names = batch["clips"], names_of(batch)
        return view_probabilities(self.model, clips, names, at_once_of(batch))

    def _log_accuracy(self, split: str, scores: Tensor, batch: Mapping[str, Any]) -> None:
        places = rank(scores, batch["label"])[:, None]
        for k in (1, 5):
            self._log_mean(split, f"top{k}", places < k, batch)

    def _log_mean(self, split: str, name: str, values: Tensor, batch: Mapping[str, Any]) -> None:
        """Log the mean over a split's videos of ``values`` [B, 1], over all batches."""
        metric = self._mean(split, name)
        metric.update(batch["video"], values)
        self.log(
            f"{split}/{name}",
            metric,
            on_step=False,
            on_epoch=True,
            prog_bar=name == "top1",
            logger=split != "train" and bool(self.trainer.loggers),
            batch_size=len(values),
        )

    def _mean(self, split: str, name: str) -> MeanPerVideo:
        return cast(MeanPerVideo, self.metrics[f"{split}_{name}"])

    def on_train_epoch_end(self) -> None:
        # Lightning would log these after the callbacks have written the epoch's checkpoint: who
        # is killed in between and goes on from it would never see them.
        figures = {f"train/top{k}": float(self._mean("train", f"top{k}").compute()) for k in (1, 5)}
        for logger in self.trainer.loggers:
            logger.log_metrics({"epoch": self.current_epoch, **figures}, step=self.global_step - 1)
            logger.save()

    def configure_optimizers(self) -> Any:
        groups = param_groups_layer_decay(
            self.model,
            weight_decay=self.weight_decay,
            no_weight_decay_list=tuple(self.model.no_weight_decay()),
            layer_decay=self.layer_decay,
        )
        optimizer = torch.optim.AdamW(groups, lr=self.lr)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = CosineLRScheduler(
            optimizer,
            t_initial=steps,
            warmup_t=round(self.warmup * steps),
            warmup_prefix=True,
            lr_min=self.lr * 1e-2,
            t_in_epochs=False,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        scheduler.step_update(self.global_step)

    def with_model(self, model: VideoTransformer) -> VideoClassifier:
        """The same classes, clip settings and provenance around another model, as a pruned one."""
        return VideoClassifier(
            model, self.class_names, self.clip_settings, provenance=self.provenance
        )

    def at_input(self, num_frames: int, image_size: int) -> VideoClassifier:
        """The same for clips of another size, or itself if it is for such clips.

        See :func:`vitprune.models.inputs.at_input`. Fewer frames cover as much of a video: where
        they are taken a stride apart, it grows.

        Raises:
            InputError: the architecture takes no such clips.
        """
        spec = self.model.spec
        if (num_frames, image_size) == (spec.num_frames, spec.image_size):
            return self
        found = self.with_model(at_input(self.model, num_frames, image_size))
        settings = found.clip_settings
        stride = round(settings["stride"] * settings["num_frames"] / num_frames)
        changed = {"num_frames": num_frames, "image_size": image_size, "stride": max(1, stride)}
        found.clip_settings = {**settings, **changed}
        return found.eval()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[DESCRIPTION] = self._description()

    def _description(self) -> dict[str, Any]:
        return {
            "spec": asdict(self.model.spec),
            "dropped": [*map(str, self.model.dropped)],
            "neuron_groups": self.model.neuron_groups,
            "bridges": [bridge.described() for bridge in bridges(self.model)],
            "class_names": self.class_names,
            "clip_settings": self.clip_settings,
            "provenance": self.provenance.plain() if self.provenance else None,
        }

    def save(self, path: str | Path) -> None:
        """Write a checkpoint that :meth:`load` reads: weights and description, no optimizer."""
        checkpoint = {
            "state_dict": self.state_dict(),
            "pytorch-lightning_version": pl.__version__,
            DESCRIPTION: self._description(),
        }
        write_checkpoint(checkpoint, path)

    @classmethod
    def load(cls, path: str | Path) -> VideoClassifier:
        """Read a checkpoint, full or pruned; it needs nothing but the file.

        Raises:
            InputError: the file is missing, truncated or no checkpoint of vitprune.
        """
        checkpoint = _read(Path(path))
        description = checkpoint[DESCRIPTION]
        # The values are overwritten: leave the caller's random state alone.
        with torch.random.fork_rng(devices=[]):
            model = build_model(**description["spec"])
        if "neuron_groups" in description:  # older checkpoints lack whole layers at most
            model.group_neurons(description["neuron_groups"])
        model = take_apart(model, description["dropped"], description.get("bridges", ()))
        provenance = description.get("provenance")  # older checkpoints have none
        classifier = cls(
            model,
            description["class_names"],
            description["clip_settings"],
            provenance=Provenance.of(provenance) if provenance else None,
        )
        try:
            classifier.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise InputError(
                f"checkpoint {path} does not fit its own description: {str(error).splitlines()[-1]}"
            ) from error
        return classifier.eval()


def write_checkpoint(checkpoint: Mapping[str, Any], path: str | Path) -> None:
    """``torch.save``, whole or not at all."""
    # Through Python's file, which says what is wrong when a disk is full; torch's own does not.
    with replacing(path) as temporary, temporary.open("wb") as file:
        torch.save(dict(checkpoint), file)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"checkpoint {path} does not exist; name a file, or run train.py first")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise InputError(
            f"checkpoint {path} ({path.stat().st_size} bytes) cannot be read: truncated, "
            "or not a PyTorch file"
        ) from error
    if not isinstance(checkpoint, dict) or DESCRIPTION not in checkpoint:
        raise InputError(
            f"checkpoint {path} does not say which model it holds; ckpt= takes files written by "
            "train.py or prune.py, pretrained weights go to model.weights="
        )
    return checkpoint
