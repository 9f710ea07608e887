"""Weights trained on Kinetics-400, from where each architecture says that they are published."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from vitprune.errors import InputError
from vitprune.models.chain import ModelSpec
from vitprune.models.registry import ARCHITECTURES


def download(spec: ModelSpec) -> Path:
    """Fetch the Kinetics-400 weights of a model into PyTorch's cache, unless they are there.

    Raises:
        InputError: there are none for the variant, or they cannot be fetched.
    """
    url = ARCHITECTURES[spec.name].kinetics400.get(spec.variant)
    if url is None:
        known = ", ".join(
            f"{name} {variant}"
            for name, architecture in ARCHITECTURES.items()
            for variant in architecture.kinetics400
        )
        raise InputError(
            f"model.weights=kinetics400: there are none for {spec.name} {spec.variant}; "
            f"there are for {known}"
        )
    # The hub calls every model's file the same; torchvision's end in the beginning of their hash.
    name = re.sub(r".*/(.+)/resolve/main/pytorch_model", r"\1", url).rpartition("/")[2]
    digest = re.search(r"-([0-9a-f]{8})\.pth$", name)
    path = Path(torch.hub.get_dir(), "checkpoints", name)
    if not path.is_file():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), digest and digest[1])
        except (OSError, RuntimeError) as error:  # no network, no space; or the hash is another
            raise InputError(
                f"model.weights=kinetics400: cannot download {url} ({error}); fetch it elsewhere "
                "and give it as model.weights=FILE"
            ) from error
    return path
