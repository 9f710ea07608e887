"""Clips -> logits: the chain interface, the three architectures, checkpoints, fine-tuning."""

from vitprune.models.build import build_model
from vitprune.models.chain import Tokens, VideoTransformer
from vitprune.models.classifier import VideoClassifier, view_probabilities

__all__ = ["Tokens", "VideoClassifier", "VideoTransformer", "build_model", "view_probabilities"]
