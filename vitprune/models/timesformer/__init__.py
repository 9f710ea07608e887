"""TimeSformer, and its weights as others write them."""

from vitprune.models.timesformer.model import VARIANTS, SpaceAttention, TimeAttention, TimeSformer

__all__ = ["VARIANTS", "SpaceAttention", "TimeAttention", "TimeSformer"]
