"""What is MViT's own."""

import torch
from torch.nn import functional as F

from vitprune.models.mvit.model import _relative, _rows


def test_a_table_for_another_size_is_interpolated_with_gradients() -> None:
    torch.manual_seed(0)
    table = torch.randn(13, 5, requires_grad=True)
    for queries, keys in ((7, 7), (4, 4), (8, 3), (5, 20)):
        length = 2 * max(queries, keys) - 1
        resized = F.interpolate(table.t()[None], length, mode="linear")[0].t()
        expected = resized[_rows(queries, keys, table.device)]
        actual = _relative(table, queries, keys)
        torch.testing.assert_close(actual, expected)
        (want,) = torch.autograd.grad(expected.square().sum(), table)
        (have,) = torch.autograd.grad(actual.square().sum(), table)
        torch.testing.assert_close(have, want)
