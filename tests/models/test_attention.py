"""The fused path against the plain one."""

import pytest
import torch
from torch import Tensor

from vitprune.models.attention import attend, geometry

B, G, H, N, M, D = 2, 3, 4, 5, 6, 8


@pytest.mark.parametrize("scale", [None, 0.3])
@pytest.mark.parametrize(
    ("groups", "bias"),
    [
        ((), None),
        ((), (H, N, M)),
        ((G,), None),
        ((G,), (H, N, M)),
        ((G,), (G, H, N, M)),
    ],
)
def test_fused_is_plain(
    groups: tuple[int, ...], bias: tuple[int, ...] | None, scale: float | None
) -> None:
    q = torch.randn(B, *groups, H, N, D)
    k, v = torch.randn(2, B, *groups, H, M, D)
    added = None if bias is None else torch.randn(bias)
    seen: list[Tensor] = []
    plain = attend(q, k, v, added, seen.append, scale)
    torch.testing.assert_close(attend(q, k, v, added, scale=scale), plain)
    (weights,) = seen
    assert weights.shape == (B, *groups, H, N, M)
    torch.testing.assert_close(weights @ v, plain)


def test_geometry_is_made_once_and_can_be_trained_with() -> None:
    calls = []

    @geometry
    def order(size: int, device: torch.device) -> Tensor:
        calls.append(size)
        return torch.arange(size).to(device)

    device = torch.device("cpu")
    with torch.inference_mode(), torch.device("meta"):
        first = order(4, device)
    x = torch.randn(4, requires_grad=True)
    x.index_select(0, order(4, device)).sum().backward()
    assert order(4, device) is first
    assert calls == [4]
    assert first.device == device
