"""Which hidden neurons of an MLP belong together: those that add about as much."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from vitprune.importance.engine import Autocast, evaluating
from vitprune.importance.scoring import one_view
from vitprune.models.branches import Mlp
from vitprune.models.chain import VideoTransformer


class Contributions(Metric):
    """How much each of H hidden neurons adds: the mean over tokens of ``|activation|``, times the
    norm of its column of the second linear layer.

    The same product, of a weight's magnitude and its input's, orders weights in Wanda (Sun et al.,
    arXiv:2306.11695). Over processes, too.

    Args:
        mlp: whose neurons they are.
    """

    full_state_update = False
    sums: Tensor
    tokens: Tensor

    def __init__(self, mlp: Mlp) -> None:
        super().__init__()
        self.norms = mlp.fc2.weight.detach().float().norm(dim=0)
        zeros = torch.zeros(len(self.norms), dtype=torch.float64)
        self.add_state("sums", default=zeros, dist_reduce_fx="sum")
        self.add_state(
            "tokens", default=torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum"
        )

    def update(self, activations: Tensor) -> None:
        """Adds activations [..., H]."""
        self.sums += activations.flatten(0, -2).abs().double().sum(0)
        self.tokens += activations[..., 0].numel()

    def compute(self) -> Tensor:
        return self.sums / self.tokens * self.norms.to(self.sums)


def order_neurons(
    model: VideoTransformer,
    batches: Iterable[Mapping[str, Any]],
    autocast: Autocast = nullcontext,
) -> None:
    """Put every MLP's hidden neurons in the order of what they add, the least first; in place.

    The model answers as before, to rounding. Its groups of neurons, which are in order, then have
    neurons that add about as much: those of group 0 add least.

    Args:
        model: whose neurons they are.
        batches: see :data:`vitprune.importance.scoring.Batch`; of a process group, each process's
            share.
        autocast: gives the context of each forward, for mixed precision.

    Raises:
        ValueError: groups of neurons were dropped, which have their numbers by the old order.
    """
    mlps = [module for module in model.modules() if isinstance(module, Mlp)]
    if not all(mlp.whole for mlp in mlps):
        raise ValueError("groups of neurons are gone, so the order of the others stays")
    like = next(model.parameters())
    found = [Contributions(mlp).to(like.device) for mlp in mlps]
    with evaluating(model), torch.no_grad(), ExitStack() as hooks:
        for mlp, one in zip(mlps, found, strict=True):
            hooks.callback(mlp.act.register_forward_hook(partial(_seen, one)).remove)
        for batch in batches:
            with autocast():
                model(one_view(batch["clips"]).to(like, non_blocking=True))
        for mlp, one in zip(mlps, found, strict=True):
            mlp.reorder(one.compute().argsort(stable=True).tolist())


def _seen(one: Contributions, module: nn.Module, given: object, activations: Tensor) -> None:
    one.update(activations)
