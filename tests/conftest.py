"""What all tests share."""

import os

import vitprune.commands  # noqa: F401  (sets how OpenMP waits, before torch is loaded)

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")
