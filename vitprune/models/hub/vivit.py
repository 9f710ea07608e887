"""ViViT, with joint space-time attention.

Arnab, Dehghani, Heigold, Sun, Lucic, Schmid: ViViT: A Video Vision Transformer. ICCV 2021,
https://arxiv.org/abs/2103.15691.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from vitprune.models import positions
from vitprune.models.chain import Block, Tokens
from vitprune.models.formats import State
from vitprune.models.hub.branches import branches_of
from vitprune.models.hub.model import HubModel, hub_architecture
from vitprune.models.positions import behind_class_token, interpolate

TINY = {
    "num_frames": 8, "image_size": 64, "hidden_size": 48, "num_attention_heads": 4,
    "intermediate_size": 192,
}  # fmt: skip


@hub_architecture("vivit", title="ViViT", base={"num_frames": 32, "image_size": 224}, tiny=TINY)
class VivIt(HubModel):
    """Joint attention over tubelets and a class token, which is read out."""

    model_type = "vivit"

    def adopt(self, original: Any, config: Any) -> Iterator[Block]:
        model = original.vivit
        self.patch = tuple(config.tubelet_size)
        self.embeddings = model.embeddings
        self.norm = model.layernorm
        self.head = original.classifier
        for i, layer in enumerate(model.layers):
            yield Block(i, branches_of(layer, config.num_attention_heads))

    def read_out(self, tokens: Tokens) -> Tensor:
        return self.head(self.norm(tokens.x[:, 0]))

    def fit_positions(self, state: State) -> None:
        # transformers takes the tubelets of all frames for one square image.
        if self.spec.config is None:
            return
        frames, size = (self.spec.config[key] for key in (self.frames_key, self.size_key))
        old, new = (
            [n // p for n, p in zip((t, s, s), self.patch, strict=True)]
            for t, s in ((frames, size), (self.spec.num_frames, self.spec.image_size))
        )
        table = behind_class_token(lambda table, _: interpolate(table, old, new, "trilinear"))
        positions.fit(self, state, {"position_embeddings$": table})

    def initialise_for_scratch(self, gain: float = 1.0) -> None:
        super().initialise_for_scratch(gain)
        embeddings: Any = self.embeddings
        for table in (embeddings.cls_token, embeddings.position_embeddings):
            nn.init.normal_(table, std=1.0)  # zero as transformers begins, which says nothing
