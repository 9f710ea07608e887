"""TimeSformer with divided space-time attention.

Bertasius, Wang, Torresani: Is Space-Time Attention All You Need for Video Understanding?
ICML 2021, https://arxiv.org/abs/2102.05095.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import DropPath, PatchEmbed
from torch import Tensor, nn
from torch.nn import functional as F

from vitprune.errors import InputError
from vitprune.models import positions
from vitprune.models.affine import follow, follow_offsets
from vitprune.models.attention import attend
from vitprune.models.chain import Attention, Block, Grid, Mlp, ModelSpec, Tokens, VideoTransformer
from vitprune.models.formats import State
from vitprune.models.registry import architecture
from vitprune.models.timesformer.weights import FORMATS, KINETICS400


@dataclass(frozen=True)
class Variant:
    """One size of the architecture."""

    num_frames: int = 8
    image_size: int = 224
    patch_size: int = 16
    dim: int = 768
    depth: int = 12
    num_heads: int = 12
    drop_path: float = 0.1


VARIANTS = {
    "base": Variant(),
    "tiny": Variant(image_size=64, dim=48, num_heads=4, drop_path=0.0),
}


def of_config(config: Mapping[str, Any]) -> Variant:
    """The variant that a configuration of transformers' TimeSformer describes.

    Raises:
        InputError: it describes another model than this one.
    """
    dim = config.get("hidden_size", 768)
    ours = {
        "attention_type": "divided_space_time", "intermediate_size": 4 * dim, "qkv_bias": True,
        "hidden_act": "gelu", "layer_norm_eps": 1e-6,
    }  # fmt: skip
    for key, value in ours.items():
        if config.get(key, value) != value:
            raise InputError(f"timesformer has {key}={value}, and the configuration {config[key]}")
    return Variant(
        num_frames=config.get("num_frames", 8),
        image_size=config.get("image_size", 224),
        patch_size=config.get("patch_size", 16),
        dim=dim,
        depth=config.get("num_hidden_layers", 12),
        num_heads=config.get("num_attention_heads", 12),
        drop_path=config.get("drop_path_rate", 0.0),
    )


class DividedAttention(Attention):
    """What attention over time and over space have in common. C = H * D with all heads."""

    def __init__(self, dim: int, num_heads: int, drop_path: float) -> None:
        super().__init__(num_heads, dim // num_heads, DropPath(drop_path))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def attend_in(self, groups: Tensor) -> Tensor:
        """Attention within each of G groups of n tokens: [B, G, n, C] -> [B, G, n, H, D]."""
        qkv = self.qkv(groups).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(3, 0, 1, 4, 2, 5)
        return attend(q, k, v, observe=self.observer).transpose(2, 3)


class TimeAttention(DividedAttention):
    """Attention over the T frames at one position in them; the class token has no part in it.

    The class token's row of :meth:`heads` is zero and so is that of :meth:`project`, biases
    included: the branch leaves the class token exactly as it is.
    """

    acts_on = slice(1, None)

    def __init__(self, dim: int, num_heads: int, drop_path: float) -> None:
        super().__init__(dim, num_heads, drop_path)
        self.fc = nn.Linear(dim, dim)

    def heads(self, tokens: Tokens) -> Tensor:
        frames, height, width = tokens.grid
        patches = tokens.x[:, 1:].unflatten(1, (frames, height * width)).transpose(1, 2)
        heads = self.attend_in(self.norm(patches))  # [B, HW, T, H, D]
        return F.pad(heads.transpose(1, 2).flatten(1, 2), (0, 0, 0, 0, 1, 0))

    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        """See the base. What the class token counts stays on it, as no head moves it."""
        frames, height, width = grid
        patches = queries[:, 1:].unflatten(1, (frames, height * width)).transpose(1, 2)
        shares = torch.einsum("bgn,bghnm->bhmg", patches, weights).flatten(2)
        own = queries[:, None, :1].expand(-1, self.num_heads, -1)
        return torch.cat([own, shares], dim=2)

    def project(self, parts: Tensor) -> Tensor:
        return F.pad(self.fc(super().project(parts[:, 1:])), (0, 0, 1, 0))

    @torch.no_grad()
    def add(self, weight: Tensor, bias: Tensor) -> None:
        # Of two linear layers in a row the first does the work of both from now on.
        both, offset = self.fc.weight @ self.proj.weight, self.fc(self.proj.bias)
        self.proj.weight.copy_(both)
        self.proj.bias.copy_(offset)
        self.fc.weight.copy_(torch.eye(len(offset)))
        self.fc.bias.zero_()
        super().add(weight, bias)

    def contribution(self, parts: Tensor, number: int) -> Tensor:
        return F.linear(super().contribution(parts, number), self.fc.weight)


class SpaceAttention(DividedAttention):
    """Attention within each of the T frames, with a copy of the class token in each.

    The class token's row of :meth:`heads` is the mean over its copies.
    """

    def heads(self, tokens: Tokens) -> Tensor:
        frames, height, width = tokens.grid
        x = self.norm(tokens.x)
        patches = x[:, 1:].unflatten(1, (frames, height * width))
        copies = x[:, None, :1].expand(-1, frames, -1, -1)
        heads = self.attend_in(torch.cat([copies, patches], dim=2))  # [B, T, 1 + HW, H, D]
        return torch.cat([heads[:, :, :1].mean(1), heads[:, :, 1:].flatten(1, 2)], dim=1)

    def received(self, weights: Tensor, queries: Tensor, grid: Grid) -> Tensor:
        frames, height, width = grid
        patches = queries[:, 1:].unflatten(1, (frames, height * width))
        copies = (queries[:, :1] / frames).expand(-1, frames)[..., None]
        shares = torch.einsum("bgn,bghnm->bhgm", torch.cat([copies, patches], dim=2), weights)
        return torch.cat([shares[..., 0].sum(2, keepdim=True), shares[..., 1:].flatten(2)], dim=2)


@architecture(
    "timesformer",
    title="TimeSformer",
    variants=VARIANTS,
    formats=FORMATS,
    kinetics400=KINETICS400,
    of_config=of_config,
)
class TimeSformer(VideoTransformer):
    """Per layer: attention over time, attention over space, MLP; a class token is read out.

    Tokens lie in the order (T, H, W) behind the class token; the official code has (H, W, T).

    Raises:
        InputError: the image size is no multiple of the patch size.
    """

    def __init__(self, spec: ModelSpec, variant: Variant) -> None:
        super().__init__()
        if spec.image_size % variant.patch_size:
            raise InputError(
                f"image_size={spec.image_size} is no multiple of timesformer's patch size, "
                f"{variant.patch_size}"
            )
        self.spec = spec
        self.num_layers = variant.depth
        self.patch = (1, variant.patch_size, variant.patch_size)
        dim = variant.dim
        self.patch_embed = PatchEmbed(
            spec.image_size, variant.patch_size, embed_dim=dim, strict_img_size=False
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + self.patch_embed.num_patches, dim))
        self.time_embed = nn.Parameter(torch.zeros(1, spec.num_frames, dim))
        self.blocks = nn.ModuleList()
        for i in range(variant.depth):
            drop_path = variant.drop_path * i / max(1, variant.depth - 1)
            branches = {
                "time": TimeAttention(dim, variant.num_heads, drop_path),
                "space": SpaceAttention(dim, variant.num_heads, drop_path),
                "mlp": Mlp(
                    dim,
                    4 * dim,
                    norm=nn.LayerNorm(dim, eps=1e-6),
                    drop_path=DropPath(drop_path),
                ),
            }
            self.blocks.append(Block(i, branches))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Linear(dim, spec.num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        for module in self.modules():
            if isinstance(module, TimeAttention):  # starts out as the image model
                nn.init.zeros_(module.fc.weight)

    def embed(self, clips: Tensor) -> Tokens:
        """Clips [B, 3, T, H, W], H and W divisible by the patch size, to tokens.

        The position embeddings of another size than the model's are interpolated.
        """
        batch, _, frames, *size = clips.shape
        height, width = self.patch_embed.dynamic_feat_size((size[0], size[1]))
        x = self.patch_embed(clips.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, frames))
        x = x + self._space_embed(height, width)[:, None] + self._time_embed(frames)[:, :, None]
        cls_token = (self.cls_token + self.pos_embed[:, :1]).expand(batch, -1, -1)
        return Tokens(torch.cat([cls_token, x.flatten(1, 2)], dim=1), (frames, height, width))

    def _space_embed(self, height: int, width: int) -> Tensor:
        """[1, height * width, C]."""
        patches = self.pos_embed[:, 1:]
        if (height, width) == self.patch_embed.grid_size:
            return patches
        patches = patches.transpose(1, 2).unflatten(2, self.patch_embed.grid_size)
        return F.interpolate(patches, (height, width), mode="nearest").flatten(2).transpose(1, 2)

    def _time_embed(self, frames: int) -> Tensor:
        """[1, frames, C]."""
        if frames == self.time_embed.shape[1]:
            return self.time_embed
        times = F.interpolate(self.time_embed.transpose(1, 2), frames, mode="nearest")
        return times.transpose(1, 2)

    def absorb(self, weight: Tensor, bias: Tensor) -> bool:
        if not follow(self.patch_embed.proj, weight, bias):
            return False
        follow_offsets([self.cls_token, self.pos_embed, self.time_embed], weight)
        with torch.no_grad():
            self.cls_token.add_(bias)
        return True

    def read_out(self, tokens: Tokens) -> Tensor:
        return self.head(self.norm(tokens.x[:, 0]))

    def initialise_for_scratch(self, gain: float = 1.0) -> None:
        super().initialise_for_scratch(gain)
        for table in (self.pos_embed, self.time_embed):  # added to tokens of about unit size
            nn.init.normal_(table, std=1.0)

    def fit_positions(self, state: State) -> None:
        # As in timesformer/models/vit.py, forward_features. Its load_pretrained resamples the
        # patches as if they lay in one line, which mixes up rows; the forward pass does not.
        resizes = {
            r"^pos_embed$": positions.behind_class_token(positions.square("nearest")),
            r"^time_embed$": positions.line("nearest"),
        }
        positions.fit(self, state, resizes)

    def no_weight_decay(self) -> set[str]:
        return {"cls_token", "pos_embed", "time_embed"}
