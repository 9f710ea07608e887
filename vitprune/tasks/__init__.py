"""The stories, told top-down, one module each: train, prune, evaluate and what heads do."""

from vitprune.tasks.evaluate import evaluate
from vitprune.tasks.prune import prune
from vitprune.tasks.run import Run
from vitprune.tasks.train import train

__all__ = ["Run", "evaluate", "prune", "train"]
