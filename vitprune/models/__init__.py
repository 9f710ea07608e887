"""Clips -> logits: the chain interface, and the architectures with the file formats they read."""

from vitprune.models import mvit, timesformer, video_swin  # noqa: F401  # each registers itself
from vitprune.models.build import build_model
from vitprune.models.chain import Tokens, VideoTransformer

__all__ = ["Tokens", "VideoTransformer", "build_model"]
