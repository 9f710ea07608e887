"""Operators in other words give the same."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from vitprune.deploy.decompositions import conv3d


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        ((2, 4, 4), {"stride": (2, 4, 4)}),
        ((1, 4, 2), {"stride": [1, 4, 2]}),
        ((3, 3, 3), {"padding": (1, 1, 1)}),
        ((3, 3, 3), {"stride": (1, 2, 2), "padding": (1, 1, 1), "groups": 6}),
        ((3, 7, 7), {"stride": (2, 4, 4), "padding": (1, 3, 3)}),
        ((3, 1, 2), {"stride": (2,), "padding": (0,), "dilation": (2, 1, 3), "groups": 2}),
        ((2, 2, 2), {"stride": (2, 2, 2), "padding": (1, 0, 0)}),
    ],
)
@pytest.mark.parametrize("bias", [True, False])
def test_conv3d_is_torchs(kernel: tuple[int, ...], options: dict[str, Any], bias: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 6, 9, 17, 14, dtype=torch.float64)
    weight = torch.randn(12, 6 // options.get("groups", 1), *kernel, dtype=torch.float64)
    offset = torch.randn(12, dtype=torch.float64) if bias else None
    found = conv3d(x, weight, offset, **options)
    torch.testing.assert_close(found, F.conv3d(x, weight, offset, **options))
