"""What libraries say that is not for the user, and why each of it is left out."""

from __future__ import annotations

import logging
import warnings

WARNINGS = (
    # Hydra: launchers of conf/ share their names with the plugins' schemas, as they should.
    r"\s*'hydra/launcher/\w+' is validated against",
    # Lightning calls what torch has deprecated.
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",
    # partial/ is not empty: it holds what a fine-tuning is continued from.
    r"Checkpoint directory .* exists and is not empty",
    # A small dataset's epoch has few batches; its curves have a value an epoch all the same.
    r"The number of training batches \(\d+\) is smaller than the logging interval",
    # dataset.num_workers is what the user has said; on a machine of few cores more are slower.
    r"The '\w+' does not have many workers",
    # Every video counts once, also if a process is handed it again; see per_video.py.
    r"Using `DistributedSampler` with the dataloaders",
    # trainer=cpu is what the user has said.
    r"GPU available but not used",
)
"""How the messages begin, as regular expressions."""

REMARKS = (
    "GPU available",
    "TPU available",
    "LOCAL_RANK: ",
    "Loading `train_dataloader`",
    "Restor",  # of the states of a checkpoint: the job says itself what it goes on with
    "`Trainer.fit` stopped",
    "You are using a CUDA device",  # and could compute less exactly
    "💡 Tip",  # for services of Lightning's maker
)
"""How remarks of Lightning begin, of which no one needs to know."""


def silence() -> None:
    """Leave all of it out."""
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for package in ("lightning_fabric", "pytorch_lightning"):
        logging.getLogger(f"{package}.utilities.rank_zero").addFilter(_is_for_the_user)


def _is_for_the_user(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(REMARKS)
