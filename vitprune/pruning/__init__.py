"""From relevance to a smaller model: dropping layers, comparing answers, measuring cost.

`strategy` chooses the units that go, `by_cost` ranks units of all kinds by what they save, which
`unit_costs` finds, `search` looks for better sets of them. `callback` has smaller models answer
along with a test, `comparison` sets all models' answers side by side, `curves` drops 0, 1, ...
units, `cost` counts parameters, FLOPs and milliseconds, `budget` finds the fewest units for what a
model may cost, `objective` is what a search over settings maximises.
"""

from vitprune.models.dropping import drop_layers, drop_units
from vitprune.pruning.callback import Compared, ModelComparison
from vitprune.pruning.comparison import FULL, Answers, Comparison, PairedAccuracy
from vitprune.pruning.cost import Cost, costs, count_flops, latencies
from vitprune.pruning.curves import DropCurves, random_orders
from vitprune.pruning.strategy import Plan, choose

__all__ = [
    "FULL",
    "Answers",
    "Compared",
    "Comparison",
    "Cost",
    "DropCurves",
    "ModelComparison",
    "PairedAccuracy",
    "Plan",
    "choose",
    "costs",
    "count_flops",
    "drop_layers",
    "drop_units",
    "latencies",
    "random_orders",
]
