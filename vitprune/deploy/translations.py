"""Operators of torch in ONNX, where torch's own exporter writes what a runtime does worse with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from onnxscript import opset18

from vitprune.deploy.attention import attention


def gelu(self: Any, approximate: str = "none") -> Any:
    """``gelu`` with the half last, which ONNX Runtime and OpenVINO take for one operator.

    torch's has the half beside the error function; ONNX Runtime 1.32 then computes five operators,
    a tenth of the time of a Video Swin-T. ONNX has an operator for it from opset 20 on.

    Args:
        self: of any shape.
        approximate: ``none``; no model has others.
    """
    if approximate != "none":
        raise ValueError(f"gelu is exact in all models, and here it is {approximate}")
    error = opset18.Erf(opset18.Div(self, opset18.Constant(value_float=math.sqrt(2.0))))
    risen = opset18.Mul(self, opset18.Add(error, opset18.Constant(value_float=1.0)))
    return opset18.Mul(risen, opset18.Constant(value_float=0.5))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.gelu.default: gelu,
    torch.ops.aten.scaled_dot_product_attention.default: attention,
}
"""For torch's exporter."""
