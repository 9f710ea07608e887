"""What a model costs."""

import pytest
import torch
from torch import nn

from vitprune.models import build_model
from vitprune.pruning import costs, count_flops, drop_layers

NAMES = ("timesformer", "video_swin", "mvit", "videomae", "vivit", "vjepa2", "videoprism")


@pytest.mark.parametrize("name", NAMES)
def test_a_pruned_model_costs_less_of_everything_that_is_counted(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, "tiny", num_classes=8)
    clip = torch.randn(1, 3, model.spec.num_frames, model.spec.image_size, model.spec.image_size)
    full, pruned = costs([model, drop_layers(model, [4, 5, 7])], clip, seconds=0.0)
    assert pruned.parameters < full.parameters
    assert pruned.checkpoint_bytes < full.checkpoint_bytes
    assert pruned.flops < full.flops
    assert full.latency_ms > 0
    assert model.training


def test_flops_of_attention_are_counted_by_hand() -> None:
    class OneAttention(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.scaled_dot_product_attention(x, x, x)

    x = torch.randn(1, 2, 10, 4)  # 2 heads, 10 tokens, 4 wide
    assert count_flops(OneAttention(), x) == 2 * (2 * 10 * 10 * 4) * 2  # type: ignore[arg-type]
