"""From relevance to a smaller model: dropping layers, comparing answers, measuring cost."""

from vitprune.models.chain import drop_layers
from vitprune.pruning.callback import LayerPruning, PruningOutcome
from vitprune.pruning.comparison import Comparison, PairedAccuracy, mcnemar
from vitprune.pruning.cost import Cost, costs, count_flops, latencies

__all__ = [
    "Comparison",
    "Cost",
    "LayerPruning",
    "PairedAccuracy",
    "PruningOutcome",
    "costs",
    "count_flops",
    "drop_layers",
    "latencies",
    "mcnemar",
]
