"""Model and clips to relevance: what every unit is worth.

`metrics` are JSD, dProb and R, functions of logits. `engine` and `stream` ablate many units in one
pass. `measures` is the registry of what units are scored by:
ablation, and the controls. `scoring` goes over the clips, `accumulate` gathers values, `scores`
holds, ranks and files them, `store` keeps what was measured. `neurons` says which belong together.
"""

from vitprune.importance.accumulate import RelevanceScores
from vitprune.importance.engine import Ablation, ablate, ablate_sets, ablate_together, without
from vitprune.importance.measures import MEASURES, measure_of
from vitprune.importance.metrics import METRICS, TARGETS, dprob, jsd, relevance
from vitprune.importance.neurons import order_neurons
from vitprune.importance.scores import DIRECTIONS, Scores
from vitprune.importance.scoring import score
from vitprune.importance.store import ScoreStore, Store, entry_name
from vitprune.models.places import units_of
from vitprune.models.unit import SCOPES, Unit

__all__ = [
    "DIRECTIONS",
    "MEASURES",
    "METRICS",
    "SCOPES",
    "TARGETS",
    "Ablation",
    "RelevanceScores",
    "ScoreStore",
    "Scores",
    "Store",
    "Unit",
    "ablate",
    "ablate_sets",
    "ablate_together",
    "dprob",
    "entry_name",
    "jsd",
    "measure_of",
    "order_neurons",
    "relevance",
    "score",
    "units_of",
    "without",
]
