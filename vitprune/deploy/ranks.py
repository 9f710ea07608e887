"""Graphs of ONNX in which no tensor has more than a few dimensions, exactly.

Devices take four or five. A tensor that has more is kept with its first axes merged, in the same
order in memory, and each operator on it is put in terms of as few axes as it tells apart: those
that it treats alike and that lie side by side are one. Where too many axes go to different places,
they go in several transpositions. All of that moves numbers and computes none, but for an einsum,
which becomes a product of matrices. Moves that follow one another become one where they can, and
what an attention without heads adds becomes a constant, as few runtimes take tensors of no numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from itertools import combinations, groupby, pairwise, permutations

import numpy as np
from onnxscript import ir

from vitprune.deploy.graphs import Builder, Shape, Size, product, remove_unused, shape_of
from vitprune.errors import InputError


def limit_ranks(graph: ir.Graph, most: int) -> None:
    """Rewrite a graph, in place, so that no tensor has more than ``most`` dimensions.

    Nodes all of whose tensors have as few already stay as they are, unless they only move numbers.

    Args:
        graph: whose inputs and outputs have no more, and the shapes of whose other values are
            known, but for the size of the batch.
        most: at least 4.

    Raises:
        InputError: there is an operator for which it is not known how.
    """
    _Rewriting(graph, most).run()


class _Rewriting(Builder):
    """A graph whose nodes are rewritten one after the other."""

    def __init__(self, graph: ir.Graph, most: int) -> None:
        super().__init__(graph)
        self.most = most
        self.merged: dict[ir.Value, ir.Value] = {}
        """What there is now for each value that had too many dimensions."""

    def run(self) -> None:
        old = []
        for node in list(self.graph):
            ranks = [len(value.shape or ()) for value in (*node.inputs, *node.outputs) if value]
            lower = LOWERINGS.get(node.op_type)
            if _sums_nothing(node):
                lower = _Rewriting.zero
            elif max(ranks, default=0) <= self.most and not _moves_alone(node):
                continue
            if lower is None or node.domain:
                raise self.unknown(node, f"on {max(ranks)} dimensions")
            found = lower(self, node)
            for output, value in zip(node.outputs, found, strict=True):
                self.replace(output, value)
            self.put(node)
            old.append(node)
        self.graph.remove(reversed(old), safe=True)
        remove_unused(self.graph)

    def replace(self, output: ir.Value, value: ir.Value) -> None:
        """Let a value, in any grouping of its axes, be what a node of the old graph gave."""
        shape = shape_of(output)
        value = self.view(value, self.joined(shape))
        if len(shape) > self.most:
            self.merged[output] = value
            return
        if output in self.graph.outputs:
            value.name = output.name
        output.replace_all_uses_with(value, replace_graph_outputs=True)

    def unknown(self, node: ir.Node, what: str) -> InputError:
        return InputError(
            f"deploy.dims={self.most}: it is not known how to do without more dimensions for "
            f"the operator {node.op_type} {what}"
        )

    def joined(self, shape: Shape) -> Shape:
        """The shape in which a value is kept: its first axes are merged, if it has too many."""
        if len(shape) <= self.most:
            return shape
        return (product(shape[: 1 - self.most]), *shape[1 - self.most :])

    def given(self, node: ir.Node, number: int = 0) -> tuple[ir.Value, Shape]:
        """An input of a node as it is now, and its shape as it was."""
        value = node.inputs[number]
        assert value is not None
        return self.merged.get(value, value), shape_of(value)

    def again(
        self, node: ir.Node, inputs: Sequence[ir.Value | None], shape: Shape, **changed: object
    ) -> ir.Value:
        """The same operator on other inputs, with attributes that are changed or, if None, gone."""
        attributes: dict[str, object] = {**node.attributes, **changed}
        kept = {key: value for key, value in attributes.items() if value is not None}
        return self.emit(node.op_type, inputs, shape, kept, like=node.outputs[0])

    def permute(self, value: ir.Value, shape: Shape, order: Sequence[int]) -> ir.Value:
        """Axes in another order: of ``shape``, in some grouping of ``shape[i] for i in order``."""
        wide = [axis for axis in order if shape[axis] != 1]
        places = {axis: place for place, axis in enumerate(sorted(wide))}
        runs: list[list[int]] = []
        for axis in wide:
            if runs and places[axis] == places[runs[-1][-1]] + 1:
                runs[-1].append(axis)
            else:
                runs.append([axis])
        before = sorted(runs)
        sizes = [product([shape[axis] for axis in run]) for run in before]
        for groups, moved in _moves(tuple(before.index(run) for run in runs), self.most):
            parts = [sizes[start:end] for start, end in groups]
            flat = tuple(map(product, parts))
            after = tuple(flat[i] for i in moved)
            value = self._transposed(self.view(value, flat), after, moved)
            sizes = [size for i in moved for size in parts[i]]
        return value

    def _transposed(self, value: ir.Value, shape: Shape, order: Sequence[int]) -> ir.Value:
        """A transposition, put together with the one in front of it, if there is one."""
        before = value.producer()
        if before is not None and before.op_type == "Transpose":
            source = before.inputs[0]
            assert source is not None
            order = [before.attributes["perm"].as_ints()[axis] for axis in order]
            value = source
        if list(order) == sorted(order):
            return value
        return self.emit("Transpose", [value], shape, {"perm": list(order)})

    # Of each operator what it gives, in any grouping of its axes.

    def as_it_is(self, node: ir.Node) -> list[ir.Value]:
        value, _ = self.given(node)
        return [value]

    def transpose(self, node: ir.Node) -> list[ir.Value]:
        order = list(node.attributes["perm"].as_ints())
        source = node.inputs[0]
        while source and (one := source.producer()) is not None and one.op_type == "Transpose":
            order = [one.attributes["perm"].as_ints()[axis] for axis in order]
            node, source = one, one.inputs[0]
        value, shape = self.given(node)
        return [self.permute(value, shape, order)]

    def elementwise(self, node: ir.Node) -> list[ir.Value]:
        out = shape_of(node.outputs[0])
        inputs = [None if one is None else self.given(node, i) for i, one in enumerate(node.inputs)]
        shapes = [_widened(one[1], len(out)) for one in inputs if one is not None]
        groups = self.groups(node, out, [tuple(s[i] == 1 for s in shapes) for i in range(len(out))])
        views = [
            one and (one[0] if one[1] in ((), (1,)) else self.view(one[0], groups(one[1])))
            for one in inputs
        ]
        return [self.again(node, views, groups(out))]

    def groups(
        self, node: ir.Node, shape: Shape, keys: Sequence[Hashable], spare: int = 0
    ) -> Callable[[Shape], Shape]:
        """Neighbouring axes with the same key as one axis, in shapes that broadcast to ``shape``.

        Args:
            node: for which.
            shape: of which.
            keys: of its axes. Those of one position go with any.
            spare: how many fewer there must be than a tensor may have.
        """
        wide = [axis for axis, size in enumerate(shape) if size != 1]
        runs = [list(run) for _, run in groupby(wide, key=lambda axis: keys[axis])]
        if len(runs) > self.most - spare:
            raise self.unknown(node, f"that tells {len(runs)} groups of axes apart")
        if len(runs) == 1 and len(shape) > self.most - spare:  # as such values are kept
            cut = len(shape) - (self.most - spare) + 1
            runs = [list(range(cut)), *([axis] for axis in range(cut, len(shape)))]

        def grouped(given: Shape) -> Shape:
            aligned = _widened(given, len(shape))
            return tuple(product([aligned[axis] for axis in run]) for run in runs) or (1,)

        return grouped

    def of_last_axis(self, node: ir.Node) -> list[ir.Value]:
        value, shape = self.given(node)
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else -1
        if axis % len(shape) != len(shape) - 1:
            raise self.unknown(node, f"along axis {axis} of {len(shape)}")
        joined = self.joined(shape)
        return [self.again(node, [self.view(value, joined), *node.inputs[1:]], joined, axis=-1)]

    def matmul(self, node: ir.Node) -> list[ir.Value]:
        (a, left), (b, right) = self.given(node, 0), self.given(node, 1)
        if len(right) == 2:
            joined = self.joined(left)
            return [self.again(node, [self.view(a, joined), b], (*joined[:-1], right[-1]))]
        batch = shape_of(node.outputs[0])[:-2]
        leads = [_widened(shape[:-2], len(batch)) for shape in (left, right)]
        keys = [tuple(lead[i] == 1 for lead in leads) for i in range(len(batch))]
        groups = self.groups(node, batch, keys, spare=2)
        views = [
            self.view(value, (*groups(shape[:-2]), *shape[-2:]))
            for value, shape in ((a, left), (b, right))
        ]
        return [self.again(node, views, (*groups(batch), left[-2], right[-1]))]

    def einsum(self, node: ir.Node) -> list[ir.Value]:
        terms, out = node.attributes["equation"].as_string().replace(" ", "").split("->")
        a, *others = terms.split(",")
        b = others[0] if len(others) == 1 else ""
        batch = [x for x in a if x in b and x in out]
        summed = [x for x in a if x in b and x not in out]
        rows = [x for x in a if x not in b]
        columns = [x for x in b if x not in a]
        if sorted(out) != sorted([*batch, *rows, *columns]) or "." in terms:
            raise self.unknown(node, f"of {terms}->{out}")
        sizes: dict[str, Size] = {}
        views = []
        for number, (term, order) in enumerate(
            [(a, (batch, rows, summed)), (b, (batch, summed, columns))]
        ):
            value, shape = self.given(node, number)
            sizes |= dict(zip(term, shape, strict=True))
            moved = self.permute(value, shape, [term.index(x) for part in order for x in part])
            views.append(self.view(moved, tuple(product([sizes[x] for x in p]) for p in order)))
        shape = tuple(product([sizes[x] for x in part]) for part in (batch, rows, columns))
        found = self.emit("MatMul", views, shape)
        given = [*batch, *rows, *columns]
        return [self.permute(found, tuple(sizes[x] for x in given), [given.index(x) for x in out])]

    def gather(self, node: ir.Node) -> list[ir.Value]:
        index, axis = node.inputs[1], node.attributes["axis"].as_int()
        source = node.inputs[0]
        assert source is not None
        assert index is not None
        rank = len(shape_of(source))
        axis, order = axis % rank, list(range(rank))
        before = source.producer()
        if before is not None and before.op_type == "Transpose" and not len(shape_of(index)):
            # One is taken before all are moved: of queries, keys and values, fewer axes move.
            order = list(before.attributes["perm"].as_ints())
            node, axis = before, order[axis]
        value, shape = self.given(node)
        outer, _, inner = self.around(shape, axis)
        count = shape_of(index)
        flat = self.view(index, (product(count),)) if len(count) > 1 else index
        found = self.emit(
            "Gather", [self.view(value, self.around(shape, axis)), flat],
            (outer, *shape_of(flat), inner), {"axis": 1},
        )  # fmt: skip
        if order == sorted(order):
            return [found]
        rest = [place - (place > axis) for place in order if place != axis]
        return [self.permute(found, (*shape[:axis], *shape[axis + 1 :]), rest)]

    def around(self, shape: Shape, axis: int) -> Shape:
        """All axes before one as one, and all behind it."""
        return product(shape[:axis]), shape[axis], product(shape[axis + 1 :])

    def slice(self, node: ir.Node) -> list[ir.Value]:
        value, shape = self.given(node)
        out = shape_of(node.outputs[0])
        starts, ends, axes, steps = (self.numbers(node, i) for i in (1, 2, 3, 4))
        axes = axes or list(range(len(starts)))
        for number, axis in enumerate(axes):
            axis %= len(shape)
            after = (*shape[:axis], out[axis], *shape[axis + 1 :])
            if after != shape or (steps and steps[number] < 0):
                one = [starts[number], ends[number], 1, steps[number] if steps else 1]
                inputs = [self.constant([x]) for x in one]
                value = self.view(value, self.around(shape, axis))
                value = self.emit("Slice", [value, *inputs], self.around(after, axis))
            shape = after
        return [value]

    def pad(self, node: ir.Node) -> list[ir.Value]:
        value, shape = self.given(node)
        pads, chosen = self.numbers(node, 1), self.numbers(node, 3)
        axes = [axis % len(shape) for axis in chosen] or list(range(len(shape)))
        widths = dict(zip(axes, zip(pads, pads[len(axes) :], strict=False), strict=True))
        for axis, (first, last) in widths.items():
            size = shape[axis]
            if not (first or last):
                continue
            if size is None:
                raise self.unknown(node, "along the batch")
            after = (*shape[:axis], size + first + last, *shape[axis + 1 :])
            around = self.constant([0, first, 0, 0, last, 0])
            inputs = [self.view(value, self.around(shape, axis)), around, *node.inputs[2:3]]
            value, shape = self.again(node, inputs, self.around(after, axis)), after
        return [value]

    def concat(self, node: ir.Node) -> list[ir.Value]:
        shape = shape_of(node.outputs[0])
        axis = node.attributes["axis"].as_int() % len(shape)
        given = (self.given(node, number) for number in range(len(node.inputs)))
        views = [self.view(value, self.around(part, axis)) for value, part in given]
        return [self.again(node, views, self.around(shape, axis), axis=1)]

    def reduce(self, node: ir.Node) -> list[ir.Value]:
        value, shape = self.given(node)
        axes = {axis % len(shape) for axis in self.numbers(node, 1)} or set(range(len(shape)))
        keys = [axis in axes for axis in range(len(shape))]
        runs = [(gone, [axis for axis, _ in run]) for gone, run in
                groupby(enumerate(keys), key=lambda pair: pair[1])]  # fmt: skip
        if len(runs) > self.most:
            raise self.unknown(node, f"that tells {len(runs)} groups of axes apart")
        sizes = [product([shape[axis] for axis in run]) for _, run in runs]
        which = self.constant([place for place, (gone, _) in enumerate(runs) if gone])
        left = tuple(size for size, (gone, _) in zip(sizes, runs, strict=True) if not gone)
        return [self.again(node, [self.view(value, tuple(sizes)), which], left, keepdims=0)]

    def expand(self, node: ir.Node) -> list[ir.Value]:
        value, shape = self.given(node)
        out = shape_of(node.outputs[0])
        aligned = _widened(shape, len(out))
        groups = self.groups(node, out, [size == 1 for size in aligned])
        before, after = groups(shape), groups(out)
        if any(new is None and old is not None for old, new in zip(before, after, strict=True)):
            raise self.unknown(node, "to any batch")
        wanted = self.constant([1 if size is None else size for size in after])
        return [self.emit("Expand", [self.view(value, before), wanted], after)]

    def zero(self, node: ir.Node) -> list[ir.Value]:
        shape = shape_of(node.outputs[0])
        zero = self.array("zero", np.zeros(1, dtype=np.float32))
        wanted = self.constant([size or 0 for size in self.joined(shape)])
        return [self.emit("Expand", [zero, wanted], self.joined(shape))]

    def numbers(self, node: ir.Node, number: int) -> list[int]:
        """An input of integers, which must be constant; empty if it is left out."""
        value = node.inputs[number] if number < len(node.inputs) else None
        if value is None:
            return []
        if value.const_value is None:
            raise self.unknown(node, "whose sizes are computed")
        return [int(x) for x in value.const_value.numpy().reshape(-1)]


MOVES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose")
ELEMENTWISE = (
    "Abs", "Add", "And", "Cast", "Ceil", "Clip", "Cos", "Div", "Equal", "Erf", "Exp", "Floor",
    "Gelu", "Greater", "Identity", "Less", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow",
    "Reciprocal", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Sqrt", "Sub", "Tanh", "Where",
)  # fmt: skip
LOWERINGS: dict[str, Callable[[_Rewriting, ir.Node], list[ir.Value]]] = {
    **dict.fromkeys(ELEMENTWISE, _Rewriting.elementwise),
    **dict.fromkeys(MOVES, _Rewriting.as_it_is),
    **dict.fromkeys(["Softmax", "LogSoftmax", "LayerNormalization"], _Rewriting.of_last_axis),
    **dict.fromkeys(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"], _Rewriting.reduce),
    "Transpose": _Rewriting.transpose,
    "MatMul": _Rewriting.matmul,
    "Einsum": _Rewriting.einsum,
    "Gather": _Rewriting.gather,
    "Slice": _Rewriting.slice,
    "Pad": _Rewriting.pad,
    "Concat": _Rewriting.concat,
    "Expand": _Rewriting.expand,
}
"""By operator: how it is done on fewer dimensions."""


def _moves_alone(node: ir.Node) -> bool:
    """Whether a node computes nothing, and it is known what shapes it has to do with."""
    if node.op_type not in MOVES:
        return False
    shapes = [value.shape for value in (node.inputs[0], node.outputs[0]) if value is not None]
    # OpenVINO takes a transposition of a volume in front of a convolution for a layout: it stays.
    return all(
        s is not None and len(s) < 5 and sum(not isinstance(n, int) for n in s) <= 1 for s in shapes
    )


def _sums_nothing(node: ir.Node) -> bool:
    """Whether a node is a product over an axis of no numbers, and so zero, of a known shape."""
    if node.op_type != "MatMul" or node.inputs[0] is None or node.inputs[0].shape is None:
        return False
    return shape_of(node.inputs[0])[-1] == 0 and None not in shape_of(node.outputs[0])


def _widened(shape: Shape, rank: int) -> Shape:
    """As it is broadcast to more dimensions."""
    return (1,) * (rank - len(shape)) + shape


Move = tuple[tuple[tuple[int, int], ...], tuple[int, ...]]
"""Groups of neighbouring axes, from where to where, and in which order they go."""


@lru_cache(maxsize=256)
def _moves(order: tuple[int, ...], most: int) -> tuple[Move, ...]:
    """The fewest transpositions of at most so many groups of axes that bring them into an order."""
    count = len(order)
    start = tuple(range(count))
    found: dict[tuple[int, ...], tuple[Move, ...]] = {start: ()}
    waiting = deque([start])
    while order not in found:
        now = waiting.popleft()
        for inner in range(1, min(most, count)):
            for cuts in combinations(range(1, count), inner):
                groups = tuple(pairwise((0, *cuts, count)))
                for moved in permutations(range(inner + 1)):
                    then = tuple(axis for i in moved for axis in now[slice(*groups[i])])
                    if then not in found:
                        found[then] = (*found[now], (groups, moved))
                        waiting.append(then)
    return found[order]
