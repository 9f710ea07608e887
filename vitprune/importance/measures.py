"""What a unit may be scored by: ablation, and the controls that a reviewer asks for.

:data:`MEASURES` is the registry; a measure is a function and one line there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vitprune.importance.accumulate import ABLATION_VALUES, ablation_values
from vitprune.importance.engine import ablate
from vitprune.importance.metrics import METRICS
from vitprune.importance.stream import FullStream
from vitprune.models.chain import Branch, VideoTransformer
from vitprune.models.places import Place, places_of
from vitprune.models.unit import Unit
from vitprune.training.per_video import wide

PerClip = Callable[
    [VideoTransformer, Tensor, Tensor, Sequence[Unit], int | None],
    tuple[Tensor, dict[str, Tensor]],
]
"""(model, clips [B, 3, T, H, W], labels [B], units, max_streams) to the full model's
logits [B, C] and values by name, each [B, U]."""
PerUnit = Callable[[VideoTransformer, Sequence[Unit], int], Sequence[float]]
"""(model, units, seed) to one value per unit."""


def ablation(
    model: VideoTransformer,
    clips: Tensor,
    labels: Tensor,
    units: Sequence[Unit],
    max_streams: int | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """JSD and dProb of both targets, from one pass."""
    result = ablate(model, clips, units=units, max_streams=max_streams)
    return result.full, ablation_values(result, labels)


def cosine(
    model: VideoTransformer,
    clips: Tensor,
    labels: Tensor,
    units: Sequence[Unit],
    max_streams: int | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Block influence: one minus the cosine of a token with and without the unit, token mean.

    For a layer whose shortcut is the identity this is ShortGPT's 1 - E[cos(input, output)] (Men
    et al. 2024, arXiv:2403.03853, eq. 1). Costs one forward pass for all units.
    """
    with torch.no_grad():
        stream = FullStream(model, model.embed(clips), units)
        influence = {
            departure.unit: 1
            - nn.functional.cosine_similarity(
                departure.full.x.float(), departure.ablated.x.float(), dim=-1
            ).mean(-1)
            for departure in stream
        }
        full = model.classify(stream.tokens)
    return full, {"cosine": torch.stack([influence[unit] for unit in units], dim=1)}


def taylor(
    model: VideoTransformer,
    clips: Tensor,
    labels: Tensor,
    units: Sequence[Unit],
    max_streams: int | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """First-order effect of the unit on the loss: ``|d cross-entropy / d gate|`` per clip.

    The gate is 1 and scales what the unit adds (Michel et al. 2019, arXiv:1905.10650, eq. 2). A
    layer's branches share one: its slope is the sum of what theirs would be each by itself. Costs
    one forward and one backward pass for all units.
    """
    there, batch = list(places_of(model, units).values()), len(clips)
    gates: dict[tuple[Branch, str], Tensor] = {}
    trainable = [p for p in model.parameters() if p.requires_grad]
    try:
        # Only the gates' gradients are wanted; without the weights' a backward costs half.
        for parameter in trainable:
            parameter.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad():
            for place in there:
                for branch in place.branches:
                    name, shape = "gate", [batch, 1, 1]
                    if place.unit.number is not None:
                        name, shape = "part_gate", [batch, len(place.parted.numbers)]
                    if (branch, name) not in gates:
                        gates[branch, name] = clips.new_ones(shape).requires_grad_()
                        setattr(branch, name, gates[branch, name])
            logits = model(clips.clone())
            loss = nn.functional.cross_entropy(logits.float(), labels.clone(), reduction="sum")
            slopes = dict(zip(gates, torch.autograd.grad(loss, [*gates.values()]), strict=True))
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        for branch, name in gates:
            setattr(branch, name, None)

    def slope(place: Place) -> Tensor:
        if place.unit.number is not None:
            return slopes[place.parted, "part_gate"][:, place.part]
        return torch.stack([slopes[b, "gate"].view(batch) for b in place.branches]).sum(0)

    columns = [slope(place).abs() for place in there]
    return logits.detach(), {"taylor": torch.stack(columns, dim=1)}


def random(model: VideoTransformer, units: Sequence[Unit], seed: int) -> Sequence[float]:
    """Uniform in [0, 1), from the seed."""
    return np.random.default_rng(seed).random(len(units)).tolist()


def magnitude(model: VideoTransformer, units: Sequence[Unit], seed: int) -> Sequence[float]:
    """Mean absolute weight of the unit's parameters, biases and norms included.

    A head's, and a group of neurons', are its columns of the branch's last linear layer: the only
    ones that are its own in every architecture.
    """

    def mean(place: Place) -> float:
        if (number := place.unit.number) is not None:
            weights = [place.parted.last.weight.detach()[:, place.parted.columns(number)]]
        else:
            weights = [p.detach() for branch in place.branches for p in branch.parameters()]
        total = sum(wide(weight).abs().sum().item() for weight in weights)
        return total / sum(weight.numel() for weight in weights)

    return [mean(place) for place in places_of(model, units).values()]


@dataclass(frozen=True)
class Measure:
    """A way to score units.

    Attributes:
        names: of the values it gives.
        per_clip: how, if it looks at clips.
        per_unit: how, if it does not.
    """

    names: tuple[str, ...]
    per_clip: PerClip | None = None
    per_unit: PerUnit | None = None


MEASURES = {
    "ablation": Measure(ABLATION_VALUES, per_clip=ablation),
    "cosine": Measure(("cosine",), per_clip=cosine),
    "taylor": Measure(("taylor",), per_clip=taylor),
    "random": Measure(("random",), per_unit=random),
    "magnitude": Measure(("magnitude",), per_unit=magnitude),
}


def measure_of(metric: str) -> str:
    """The measure that a metric comes from: ``ablation`` for JSD, dProb and R, or itself.

    Raises:
        ValueError: neither a metric nor a measure.
    """
    if metric in METRICS:
        return "ablation"
    if metric in MEASURES and metric != "ablation":
        return metric
    known = ", ".join([*METRICS, *(name for name in MEASURES if name != "ablation")])
    raise ValueError(f"metric={metric!r} is not one of {known}")
