"""The fused path against the plain one."""

import pytest
import torch
from torch import Tensor

from vitprune.models import attention
from vitprune.models.attention import attend, geometry

B, G, H, N, M, D = 2, 3, 4, 5, 6, 8


@pytest.mark.parametrize("scores", [None, 1, 2 * M, N * M, 2 * N * M, 2 * H * N * M])
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
def test_fused_and_in_parts_are_plain(
    groups: tuple[int, ...],
    bias: tuple[int, ...] | None,
    scale: float | None,
    scores: int | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if scores:  # are computed at once
        monkeypatch.setattr(attention, "SCORES", scores)
        monkeypatch.setattr(attention, "_better_in_parts", lambda q, k: True)
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


def test_in_parts_is_for_bfloat16_and_where_nothing_is_learnt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention, "_has_only_avx512_bf16", lambda: True)
    better = attention._better_in_parts
    q = torch.randn(2, 4, 100, 8)
    k = torch.randn(2, 4, 100, 8)
    assert not better(q.bfloat16(), k)
    with torch.no_grad():
        assert better(q.bfloat16(), k)
        assert not better(q, k)
        assert not better(q.bfloat16()[:, :, :50], k)
        assert not better(q.bfloat16().to("meta"), k)
        with torch.autocast("cpu", torch.bfloat16):
            assert better(q, k)
            out = attend(q, k, q)
    assert out.dtype == torch.bfloat16
    with torch.no_grad():
        monkeypatch.setattr(attention, "_better_in_parts", lambda q, k: False)
        exact = attend(q.double(), k.double(), q.double())
    assert (out - exact).square().mean().sqrt() < 0.02 * exact.std()
