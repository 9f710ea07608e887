"""A smaller model to a better one: bridges in closed form, and distillation.

``linear`` fits bridges, projections and the classifier to what the full model does, at the
``sites`` where something is gone; ``least_squares`` has the sums that takes, ``distillation``
trains the smaller model to answer as the full one.
"""

from vitprune.models.bridge import Bridge
from vitprune.recovery.distillation import Distillation
from vitprune.recovery.linear import Fitted, fit_bridges

__all__ = ["Bridge", "Distillation", "Fitted", "fit_bridges"]
