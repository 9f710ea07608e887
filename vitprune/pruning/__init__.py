"""From relevance to a smaller model: dropping layers, comparing answers, measuring cost."""

from vitprune.models.chain import drop_layers
from vitprune.pruning.callback import LayerPruning, PruningOutcome
from vitprune.pruning.comparison import Comparison, PairedAccuracy
from vitprune.pruning.cost import Cost, costs, count_flops, latencies
from vitprune.pruning.curve import Curve, DropCurve, random_orders
from vitprune.pruning.strategy import STRATEGIES, Plan

__all__ = [
    "STRATEGIES",
    "Comparison",
    "Cost",
    "Curve",
    "DropCurve",
    "LayerPruning",
    "PairedAccuracy",
    "Plan",
    "PruningOutcome",
    "costs",
    "count_flops",
    "drop_layers",
    "latencies",
    "random_orders",
]
