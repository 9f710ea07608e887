"""Attention in ONNX: as several nodes, or as one."""

from __future__ import annotations

from typing import Any

from onnxscript import ir, opset18

from vitprune.deploy.graphs import Builder, product, remove_unused, shape_of

FROM = 23
"""The first opset of ONNX that has an operator for attention."""
RUNTIME = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""


def attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """``scaled_dot_product_attention`` in operators that all opsets have.

    torch's own has one operator from opset 23 on, which OpenVINO 2026.4 gets wrong where there are
    as many heads as tokens, and scales keys, too.

    Args:
        query: [B, H, N, D].
        key, value: [B, H, M, D].
        attn_mask: added to the scores; broadcasts to [B, H, N, M].
        dropout_p, is_causal, enable_gqa: torch's defaults; no model has others.
        scale: of the scores; ``D ** -0.5`` if not given.
    """
    factor = opset18.Constant(value_float=scale or query.shape[-1] ** -0.5)
    turned = opset18.Transpose(key, perm=[0, 1, 3, 2])
    scores = opset18.MatMul(opset18.Mul(query, factor), turned)
    if attn_mask is not None:
        scores = opset18.Add(scores, attn_mask)
    return opset18.MatMul(opset18.Softmax(scores, axis=-1), value)


def fuse_attention(graph: ir.Graph, opset: int) -> None:
    """Put one node in the place of what :func:`attention` has written.

    It is ``Attention`` from opset 23 on, and otherwise ``MultiHeadAttention``, which is not of ONNX
    but of ONNX Runtime. Both take tokens with their heads side by side, [B, N, H * D].

    Args:
        graph: is changed in place; shapes are known, but for the size of the batch.
        opset: of ONNX.
    """
    builder = Builder(graph)
    for softmax in [node for node in graph if node.op_type == "Softmax"]:
        (last,) = softmax.outputs[0].consumers()
        scores, bias = _maker(softmax), None
        if scores.op_type == "Add":
            scores, bias = _maker(scores), scores.inputs[1]
        scaled = _maker(scores)
        if [node.op_type for node in (scores, scaled, last)] != ["MatMul", "Mul", "MatMul"]:
            continue  # its scores are capped, or its queries known
        factor, out = scaled.inputs[1], last.outputs[0]
        assert factor is not None
        assert factor.const_value is not None
        q = _side_by_side(builder, scaled.inputs[0], [0, 2, 1, 3])
        k = _side_by_side(builder, scores.inputs[1], [0, 3, 1, 2])
        v = _side_by_side(builder, last.inputs[1], [0, 2, 1, 3])
        batch, heads, count, width = shape_of(out)
        assert heads is not None
        scale, shape = float(factor.const_value.numpy().item()), shape_of(q)
        if opset < FROM:
            found = builder.emit(
                "MultiHeadAttention", [q, k, v, None, None, bias], shape,
                {"num_heads": heads, "scale": scale}, RUNTIME,
            )  # fmt: skip
            graph.opset_imports[RUNTIME] = 1
        else:
            numbers = {"q_num_heads": heads, "kv_num_heads": heads, "scale": scale}
            found = builder.emit("Attention", [q, k, v, bias], shape, numbers)
        apart = builder.view(found, (batch, count, heads, width))
        done = builder.emit("Transpose", [apart], shape_of(out), {"perm": [0, 2, 1, 3]})
        builder.put(last)
        out.replace_all_uses_with(done)
    remove_unused(graph)


def _maker(node: ir.Node, number: int = 0) -> ir.Node:
    """What made an input of a node."""
    value = node.inputs[number]
    assert value is not None
    made_by = value.producer()
    return node if made_by is None else made_by


def _side_by_side(builder: Builder, value: ir.Value | None, order: list[int]) -> ir.Value:
    """Axes that are [B, N, H, D] in an order, to [B, N, H * D]."""
    assert value is not None
    shape = shape_of(value)
    batch, count, heads, width = (shape[axis] for axis in order)
    moved = builder.emit("Transpose", [value], (batch, count, heads, width), {"perm": order})
    return builder.view(moved, (batch, count, product([heads, width])))
