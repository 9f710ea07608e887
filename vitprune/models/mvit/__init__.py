"""MViT, and its weights as others write them."""

from vitprune.models.mvit.model import VARIANTS, MViT, PoolingAttention

__all__ = ["VARIANTS", "MViT", "PoolingAttention"]
