"""A recipe -> a fine-tuned checkpoint, which says itself what it is and where it comes from.

`classifier` is the LightningModule and its checkpoints, `provenance` what a checkpoint was
fine-tuned with and which clips it has seen, `attempt` a fine-tuning that may be killed and goes
on, `callbacks` what is done around its epochs, `probing` what comes before the first, `per_video`
metrics in which every video counts once.
"""

from vitprune.training.classifier import VideoClassifier, view_probabilities
from vitprune.training.provenance import Provenance

__all__ = ["Provenance", "VideoClassifier", "view_probabilities"]
