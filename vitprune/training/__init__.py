"""A recipe -> a fine-tuned checkpoint, which says itself what it is and where it comes from."""

from vitprune.training.classifier import VideoClassifier, view_probabilities
from vitprune.training.provenance import Provenance

__all__ = ["Provenance", "VideoClassifier", "view_probabilities"]
