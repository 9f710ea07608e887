"""From relevance to a smaller model: dropping layers, comparing answers, measuring cost.

`strategy` chooses the layers that go, `callback` runs the experiment along with a test,
`comparison` sets both models' answers side by side, `curves` drops 0, 1, ... layers, `cost`
counts parameters, FLOPs and milliseconds, `objective` is what a search maximises.
"""

from vitprune.models.chain import drop_layers
from vitprune.pruning.callback import LayerPruning, PruningOutcome
from vitprune.pruning.comparison import Comparison, PairedAccuracy
from vitprune.pruning.cost import Cost, costs, count_flops, latencies
from vitprune.pruning.curves import DropCurves, random_orders
from vitprune.pruning.strategy import STRATEGIES, Plan, drop

__all__ = [
    "STRATEGIES",
    "Comparison",
    "Cost",
    "DropCurves",
    "LayerPruning",
    "PairedAccuracy",
    "Plan",
    "PruningOutcome",
    "costs",
    "count_flops",
    "drop",
    "drop_layers",
    "latencies",
    "random_orders",
]
