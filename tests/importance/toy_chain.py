"""A small chain with everything that a real one may have, and the naive way to ablate it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from vitprune.importance import Unit
from vitprune.models.attention import attend
from vitprune.models.chain import Attention, Block, Grid, Mlp, ModelSpec, Tokens, VideoTransformer

CLIP = (3, 2, 8, 8)


class ToyAttention(Attention):
    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(num_heads, dim // num_heads)
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def heads(self, tokens: Tokens) -> Tensor:
        qkv = self.qkv(self.norm(tokens.x)).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        return attend(q, k, v, observe=self.observer).transpose(1, 2)

    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        return torch.einsum("bn,bhnm->bhm", queries, weights)


class Widen(nn.Module):
    """The residual path of a branch that changes the width."""

    def __init__(self, dim: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, out)

    def forward(self, tokens: Tokens) -> Tokens:
        return tokens._replace(x=self.linear(tokens.x))


class WideningMlp(Mlp):
    def __init__(self, dim: int, out: int) -> None:
        super().__init__(dim, 2 * dim, out, norm=nn.LayerNorm(dim))
        self.widen = Widen(dim, out)

    def skip(self, tokens: Tokens) -> Tokens:
        return self.widen(tokens)

    def leftover(self) -> nn.Module:
        return self.widen


class Merge(nn.Module):
    """Averages pairs of tokens along W, as Swin's merging between stages: part of no layer."""

    def forward(self, tokens: Tokens) -> Tokens:
        t, h, w = tokens.grid
        return Tokens(tokens.x.unflatten(1, (-1, 2)).mean(2), (t, h, w // 2))


class Toy(VideoTransformer):
    """Five layers: two plain, one with two attentions, one that widens, one behind a merge."""

    def __init__(self, dim: int = 16, num_classes: int = 5) -> None:
        super().__init__()
        self.spec = ModelSpec("toy", "tiny", num_classes, CLIP[1], CLIP[2])
        self.patch = nn.Conv3d(3, dim, (1, 2, 2), (1, 2, 2))

        def mlp(width: int) -> Mlp:
            return Mlp(width, 2 * width, norm=nn.LayerNorm(width))

        plain = [Block(i, {"attention": ToyAttention(dim, 4), "mlp": mlp(dim)}) for i in range(2)]
        two = {"time": ToyAttention(dim, 4), "space": ToyAttention(dim, 2), "mlp": mlp(dim)}
        wide = {"attention": ToyAttention(dim, 4), "mlp": WideningMlp(dim, 2 * dim)}
        last = {"attention": ToyAttention(2 * dim, 8), "mlp": mlp(2 * dim)}
        self.blocks = nn.ModuleList(
            [*plain, Block(2, two), Block(3, wide), Block(4, last, [Merge()])]
        )
        self.num_layers = 5
        self.norm = nn.LayerNorm(2 * dim)
        self.head = nn.Linear(2 * dim, num_classes)

    def embed(self, clips: Tensor) -> Tokens:
        x = self.patch(clips)
        return Tokens(x.flatten(2).transpose(1, 2), tuple(x.shape[2:]))  # type: ignore[arg-type]

    def read_out(self, tokens: Tokens) -> Tensor:
        return self.head(self.norm(tokens.x).mean(1))


def toy(seed: int = 0) -> Toy:
    """A toy whose every weight matters: initialised wide enough that units move the logits."""
    torch.manual_seed(seed)
    model = Toy()
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, std=0.3)
        elif name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def naive(model: VideoTransformer, clips: Tensor, units: Sequence[Unit]) -> tuple[Tensor, Tensor]:
    """Full logits [B, C] and ablated logits [U, B, C], by gates and one forward pass per unit."""
    with torch.no_grad():
        full = model(clips)
        return full, torch.stack([gated(model, clips, [unit]) for unit in units])


def gated(model: VideoTransformer, clips: Tensor, units: Sequence[Unit]) -> Tensor:
    """Logits [B, C] with all units' gates closed."""
    with ExitStack() as opened:
        for unit in units:
            block = next(block for block in model.blocks if block.index == unit.layer)
            opened.callback(close(block, unit))
        with torch.no_grad():
            return model(clips)


def close(block: Block, unit: Unit, by: float = 0.0) -> Callable[[], None]:
    """Multiply a unit's gate; what is returned opens all of its branches' gates again."""
    names = list(block.attentions)
    branches = {
        "": list(block.branches.values()),
        "attention": list(block.attentions.values()),
        "mlp": [block.branches["mlp"]],
    }.get(unit.branch) or [block.branches[unit.branch]]
    if unit.number is None:
        for branch in branches:
            branch.gate = torch.tensor(by, dtype=torch.double)
    else:
        branch = block.branches[unit.branch or names[-1]]
        if branch.part_gate is None:
            branch.part_gate = torch.ones(branch.num_parts, dtype=torch.double)
        branch.part_gate[unit.number] = by
        branches = [branch]

    def open_again() -> None:
        for branch in branches:
            branch.gate = branch.part_gate = None

    return open_again
