"""New nodes for graphs of ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from onnxscript import ir

from vitprune.errors import InputError

Size = int | None
"""Of an axis; None where it is the batch's, or a multiple of it, and that may be any."""
Shape = tuple[Size, ...]


class Builder:
    """Makes nodes and constants of a graph.

    Attributes:
        graph: which gets the constants as they are made.
        new: nodes that :meth:`put` puts into the graph.
    """

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.new: list[ir.Node] = []
        self.viewed: dict[ir.Value, ir.Value] = {}
        """Whose numbers the values that came of a reshape have, in the same order."""

    def put(self, node: ir.Node) -> None:
        """Put what was made since the last time in front of a node of the graph, and call it after
        that one, if that has a name."""
        for number, made in enumerate(self.new if node.name else []):
            made.name = f"{node.name}.{number}"
        self.graph.insert_before(node, self.new)
        self.new = []

    def emit(
        self,
        op: str,
        inputs: Sequence[ir.Value | None],
        shape: Shape,
        attributes: Mapping[str, object] | None = None,
        domain: str = "",
        like: ir.Value | None = None,
    ) -> ir.Value:
        """A new node, and what it gives.

        Args:
            op: of the node.
            inputs: of it.
            shape: of what it gives.
            attributes: of the node.
            domain: of the operator; by default ONNX's own.
            like: of the same type as that; by default its first input is.
        """
        (value,) = ir.node(op, inputs, attributes or {}, domain=domain, num_outputs=1).outputs  # type: ignore[arg-type]
        node, source = value.producer(), like or inputs[0]
        assert node is not None
        assert source is not None
        value.shape, value.type = ir.Shape(shape), source.type
        self.new.append(node)
        return value

    def constant(self, numbers: Sequence[int]) -> ir.Value:
        """Integers that nodes take."""
        name = f"sizes_{'_'.join(map(str, numbers))}"
        return self.array(name, np.array(numbers, dtype=np.int64))

    def array(self, name: str, array: np.ndarray) -> ir.Value:
        """An initializer by its name, which says what it is; it is made if it is not there."""
        if name not in self.graph.initializers:
            tensor = ir.tensor(array, name=name)
            shape, kind = ir.Shape(array.shape), ir.TensorType(tensor.dtype)
            value = ir.Value(name=name, shape=shape, type=kind, const_value=tensor)
            self.graph.register_initializer(value)
        return self.graph.initializers[name]

    def view(self, value: ir.Value, shape: Shape) -> ir.Value:
        """The same numbers in the same order in another shape, that has at most one None."""
        value = self.viewed.get(value, value)
        if shape_of(value) == shape:
            return value
        sizes = [-1 if size is None else size for size in shape]
        if value.const_value is not None:
            name = f"{value.name}_{'_'.join(map(str, sizes))}"
            return self.array(name, value.const_value.numpy().reshape(sizes))
        found = self.emit("Reshape", [value, self.constant(sizes)], shape)
        self.viewed[found] = value
        return found


def shape_of(value: ir.Value) -> Shape:
    """Of a value, whose rank must be known."""
    if value.shape is None:
        raise InputError(f"the shape of {value.name} is not known")
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def product(sizes: Sequence[Size]) -> Size:
    """Of sizes of axes."""
    total = 1
    for size in sizes:
        if size is None:
            return None
        total *= size
    return total


def remove_unused(graph: ir.Graph) -> None:
    """Nodes and initializers whose values nobody takes."""
    for node in reversed(list(graph)):
        if not any(value.uses() or value in graph.outputs for value in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and value not in graph.outputs:
            del graph.initializers[name]
