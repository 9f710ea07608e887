"""VideoMAE.

Tong, Song, Wang, Wang: VideoMAE: Masked Autoencoders are Data-Efficient Learners for
Self-Supervised Video Pre-Training. NeurIPS 2022, https://arxiv.org/abs/2203.12602.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from vitprune.models.chain import Block, Tokens
from vitprune.models.hub.branches import HubAttention, HubMlp
from vitprune.models.hub.model import HubModel, hub_architecture

TINY = {
    "num_frames": 8, "image_size": 64, "hidden_size": 48, "num_attention_heads": 4,
    "intermediate_size": 192,
}  # fmt: skip


@hub_architecture(
    "videomae", title="VideoMAE", base={"num_frames": 16, "image_size": 224}, tiny=TINY
)
class VideoMae(HubModel):
    """Joint attention over tubelets; the mean of all tokens is read out, or the first."""

    model_type = "videomae"

    def adopt(self, original: Any, config: Any) -> Iterator[Block]:
        model, size = original.videomae, original.videomae.embeddings.patch_embeddings.patch_size
        self.patch = (config.tubelet_size, *size)
        self.embeddings = _Embeddings(model.embeddings)
        self.mean_pooling = config.use_mean_pooling
        self.norm = original.fc_norm if self.mean_pooling else model.layernorm
        self.head = original.classifier
        for i, layer in enumerate(model.encoder.layer):
            inner, outer = layer.attention.attention, layer.attention.output
            attention = HubAttention(
                layer.layernorm_before, inner, outer.dense, config.num_attention_heads,
                outer.dropout,
            )  # fmt: skip
            middle, last = layer.intermediate, layer.output
            mlp = HubMlp(
                layer.layernorm_after, middle.dense, middle.intermediate_act_fn, last.dense,
                last.dropout,
            )  # fmt: skip
            yield Block(i, {"attention": attention, "mlp": mlp})

    def read_out(self, tokens: Tokens) -> Tensor:
        return self.head(self.norm(tokens.x.mean(1) if self.mean_pooling else tokens.x[:, 0]))


class _Embeddings(nn.Module):
    """transformers' own, whose table of positions goes where the model goes."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.original = original
        table = original.position_embeddings
        del original.position_embeddings
        original.register_buffer("position_embeddings", table, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        return self.original(frames, None)
