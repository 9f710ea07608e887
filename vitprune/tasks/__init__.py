"""The stories, told top-down, one module each: `train`, `prune`, `evaluate`, `explain`,
and `check`.

`run` is what a job works with. `subject` finds its checkpoint and its clips, `checkpoints`
refuses those that are not what was asked for or have seen the clips, `data` makes clips ready,
`scoring` asks the store or measures, `outputs` writes files.
"""

from vitprune.tasks.evaluate import evaluate
from vitprune.tasks.prune import prune
from vitprune.tasks.run import Run
from vitprune.tasks.train import train

__all__ = ["Run", "evaluate", "prune", "train"]
