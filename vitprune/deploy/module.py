"""A bundle as a model of torch, for vitprune's own evaluation."""

from __future__ import annotations

import json
from typing import cast

import torch
from torch import Tensor, nn

from vitprune.deploy.bundle import Bundle
from vitprune.deploy.description import PROVENANCE
from vitprune.errors import InputError
from vitprune.models.chain import ModelSpec, VideoTransformer
from vitprune.models.unit import read_units
from vitprune.training import VideoClassifier
from vitprune.training.provenance import Provenance


class BundleModule(nn.Module):
    """Clips [B, 3, T, H, W] to logits [B, C] by a bundle's runtime; it cannot be trained.

    Attributes:
        spec: of the model that was exported.
        dropped: its units that were dropped.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.bundle = bundle
        self.spec = ModelSpec(**bundle.description.model["spec"])
        self.dropped = tuple(read_units(bundle.description.model["dropped"]))

    def forward(self, clips: Tensor) -> Tensor:
        return torch.from_numpy(self.bundle(clips.detach().cpu().numpy())).to(clips.device)


def classifier_of(bundle: Bundle) -> VideoClassifier:
    """A bundle with its classes, clip settings and provenance, to be tested by a trainer.

    Raises:
        InputError: what the bundle says of its provenance is damaged.
    """
    path, rule = bundle.directory / PROVENANCE, bundle.description.clip
    try:
        provenance = Provenance.of(json.loads(path.read_text())) if path.is_file() else None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged; export the model again") from error
    module = cast(VideoTransformer, BundleModule(bundle))  # all that a test asks of one
    return VideoClassifier(module, bundle.classes, vars(rule), provenance=provenance).eval()
