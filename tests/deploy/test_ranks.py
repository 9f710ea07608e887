"""Operators on many dimensions give the same on few, to the bit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from vitprune.errors import InputError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
runtime = pytest.importorskip("onnxruntime")

from onnxscript import ir  # noqa: E402

from vitprune.deploy.ranks import limit_ranks  # noqa: E402

SHAPE = (2, 3, 1, 4, 5, 6)
Case = tuple[str, Sequence[Any], dict[str, Any]]
CASES: dict[str, Case] = {
    "merged": ("Transpose", [], {"perm": [3, 4, 2, 5, 0, 1]}),
    "in one": ("Transpose", [], {"perm": [0, 3, 1, 2, 4, 5]}),
    "in several": ("Transpose", [], {"perm": [5, 1, 4, 0, 3, 2]}),
    "reversed": ("Transpose", [], {"perm": [5, 4, 3, 2, 1, 0]}),
    "added to one": ("Add", [np.float32(0.5)], {}),
    "added to an axis": ("Add", [np.arange(5, dtype=np.float32)[:, None]], {}),
    "added to others": ("Mul", [np.arange(8, dtype=np.float32).reshape(2, 1, 1, 4, 1, 1)], {}),
    "alone": ("Erf", [], {}),
    "softmax": ("Softmax", [], {"axis": -1}),
    "norm": ("LayerNormalization", [np.arange(6, dtype=np.float32)], {"axis": 5}),
    "one of an axis": ("Gather", [np.int64(2)], {"axis": 1}),
    "some of an axis": ("Gather", [np.array([3, 0, 0])], {"axis": 3}),
    "a table of an axis": ("Gather", [np.array([[3, 0], [1, 1]])], {"axis": -3}),
    "sliced": ("Slice", [np.array([1, -1]), np.array([3, -9]), np.array([1, 4]), np.array([1, -2])],
               {}),
    "padded": ("Pad", [np.array([0, 1, 0, 0, 2, 0, 0, 0, 0, 0, 1, 1])], {}),
    "padded along some": ("Pad", [np.array([1, 2]), np.float32(7), np.array([-2])], {}),
    "beside another": ("Concat", [np.ones((2, 3, 1, 2, 5, 6), np.float32)], {"axis": 3}),
    "mean": ("ReduceMean", [np.array([3, 4])], {"keepdims": 0}),
    "mean of the last": ("ReduceMean", [np.array([-1])], {"keepdims": 1}),
    "of more": ("Expand", [np.array([2, 3, 7, 4, 5, 6])], {}),
    "squeezed": ("Squeeze", [np.array([2])], {}),
    "times a matrix": ("MatMul", [np.arange(12, dtype=np.float32).reshape(6, 2)], {}),
    "times matrices": ("MatMul", [np.arange(144, dtype=np.float32).reshape(3, 1, 4, 6, 2)], {}),
    "einsum": ("Einsum", [np.arange(72, dtype=np.float32).reshape(4, 3, 6)],
               {"equation": "abctnd,tkd->abctnk"}),
}  # fmt: skip


def graph_of(op: str, others: Sequence[Any], attributes: dict[str, Any], shape: Any = SHAPE) -> Any:
    """A model with one operator, and a transposition behind it that keeps its rank in use."""
    extra = [onnx.numpy_helper.from_array(np.asarray(x), f"i{i}") for i, x in enumerate(others)]
    node = onnx.helper.make_node(op, ["x", *(one.name for one in extra)], ["y"], **attributes)
    flat = onnx.helper.make_node("Flatten", ["y"], ["z"], axis=0)
    start = onnx.helper.make_node("Reshape", ["clip", "shape"], ["x"])
    extra.append(onnx.numpy_helper.from_array(np.array(shape), "shape"))
    kind = onnx.helper.make_tensor_value_info
    size = int(np.prod(shape))
    graph = onnx.helper.make_graph(
        [start, node, flat], "g", [kind("clip", 1, [size])], [kind("z", 1, None)], extra
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9
    )
    return onnx.shape_inference.infer_shapes(model, strict_mode=True)


def answer(model: Any) -> np.ndarray:
    session = runtime.InferenceSession(model.SerializeToString())
    values = np.random.default_rng(0).normal(size=int(np.prod(SHAPE))).astype(np.float32)
    return session.run(None, {"clip": values})[0]


@pytest.mark.parametrize("most", [4, 5])
@pytest.mark.parametrize("case", CASES)
def test_an_operator_does_with_fewer_dimensions(case: str, most: int) -> None:
    model = graph_of(*CASES[case])
    rewritten = ir.from_proto(model)
    limit_ranks(rewritten.graph, most)
    found = ir.to_proto(rewritten)
    del found.graph.value_info[:]
    graph = onnx.shape_inference.infer_shapes(found, strict_mode=True, data_prop=True).graph
    shapes = {one.name: len(one.type.tensor_type.shape.dim) for one in graph.value_info}
    shapes |= {one.name: len(one.type.tensor_type.shape.dim) for one in graph.output}
    assert max(shapes[name] for node in graph.node for name in node.output) <= most
    assert max(len(one.dims) for one in graph.initializer) <= most
    if CASES[case][0] in ("MatMul", "Einsum", "ReduceMean", "LayerNormalization"):
        np.testing.assert_allclose(answer(found), answer(model), rtol=1e-5, atol=1e-5)
    else:
        np.testing.assert_array_equal(answer(found), answer(model))


def test_a_product_over_nothing_is_a_constant() -> None:
    make, kind = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [make("Slice", ["x", "none", "none", "last"], ["n"]), make("MatMul", ["n", "w"], ["y"])]
    arrays = {"none": np.array([0]), "last": np.array([2]), "w": np.ones((0, 2), np.float32)}
    given = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
    ends = [kind("x", 1, [2, 3, 4])], [kind("y", 1, [2, 3, 2])]
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "g", *ends, given), ir_version=9,
        opset_imports=[onnx.helper.make_opsetid("", 18)],
    )  # fmt: skip
    rewritten = ir.from_proto(onnx.shape_inference.infer_shapes(model))
    limit_ranks(rewritten.graph, 5)
    assert [node.op_type for node in rewritten.graph] == ["Expand"]
    assert not any(0 in value.shape for value in rewritten.graph.initializers.values())
    session = runtime.InferenceSession(ir.to_proto(rewritten).SerializeToString())
    (found,) = session.run(None, {"x": np.ones((2, 3, 4), np.float32)})
    np.testing.assert_array_equal(found, np.zeros((2, 3, 2)))


def test_an_operator_that_is_not_known_is_named() -> None:
    model = ir.from_proto(graph_of("CumSum", [np.int64(2)], {}))
    with pytest.raises(InputError, match=r"^deploy\.dims=5: .* the operator CumSum on 6 dim"):
        limit_ranks(model.graph, 5)
    around = np.arange(15, dtype=np.float32).reshape(3, 1, 1, 5, 1)
    model = ir.from_proto(graph_of("Add", [around], {}))
    with pytest.raises(InputError, match="the operator Add that tells 5 groups of axes apart"):
        limit_ranks(model.graph, 4)
