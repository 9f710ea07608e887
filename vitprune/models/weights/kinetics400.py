"""Weights trained on Kinetics-400, from where torchvision and the hub publish them."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torchvision.models import get_model_weights

from vitprune.errors import InputError
from vitprune.models.chain import ModelSpec


def _torchvision(name: str) -> str:
    return get_model_weights(name)["KINETICS400_V1"].url


_URLS = {
    ("timesformer", "base"): "https://huggingface.co/facebook/timesformer-base-finetuned-k400"
    "/resolve/main/pytorch_model.bin",
    ("video_swin", "t"): _torchvision("swin3d_t"),
    ("video_swin", "s"): _torchvision("swin3d_s"),
    ("video_swin", "b"): _torchvision("swin3d_b"),
    ("mvit", "v2_s"): _torchvision("mvit_v2_s"),
    ("mvit", "v1_b"): _torchvision("mvit_v1_b"),
}
"""Model and variant -> a file in one of the formats that :func:`load_weights` knows."""


def download(spec: ModelSpec) -> Path:
    """Fetch the Kinetics-400 weights of a model into PyTorch's cache, unless they are there.

    Raises:
        InputError: there are none for the variant, or they cannot be fetched.
    """
    url = _URLS.get((spec.name, spec.variant))
    if url is None:
        known = ", ".join(f"{name} {variant}" for name, variant in _URLS)
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
