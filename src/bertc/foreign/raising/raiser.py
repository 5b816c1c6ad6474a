"""What the rules of raising share: meanings by name, and the IR nodes that are written so far."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.architectures.model_builder import ModelBuilder
from bertc.errors import NodeError
from bertc.foreign.graph import ForeignGraph, ForeignNode, Tensor
from bertc.foreign.probes import Probes
from bertc.foreign.raising.layout import Atom, Layout, columns
from bertc.foreign.raising.meanings import (
    Expression,
    HostRows,
    Known,
    Lookups,
    Meaning,
    Pooled,
    Product,
    Rows,
    View,
)
from bertc.foreign.raising.recognize import (
    Activation,
    Affine,
    Found,
    LayerNorm,
    Normalize,
    base_of,
    leaves,
    recognize,
)
from bertc.ir.graph import DType, Node, StoredTensor
from bertc.primitives.dim import Shape

Array = np.ndarray[Any, Any]


_LONGEST = 2048
"""The tokens up to which a bias by distance, or a window, is read, which takes memory by their square."""


@dataclass(frozen=True)
class Rule:
    """What a primitive on operands of certain meanings becomes."""

    ops: frozenset[str]
    apply: Callable[[Raiser, ForeignNode, Sequence[Any]], Meaning | None]
    """From the meanings of the operands to that of the result; None where the rule does not fit."""


def rule(*ops: str) -> Callable[[Callable[[Raiser, ForeignNode, Sequence[Any]], Meaning | None]], Rule]:
    """Make a rule of a function, for some primitives."""
    return lambda function: Rule(frozenset(ops), function)


class NoOpError(NodeError):
    """Raised for a node that bertc has no op for: the host may compute it."""

    def __init__(self, node: ForeignNode | None, problem: str) -> None:
        super().__init__({str(node): problem})
        self.problem = problem


OnHost = Callable[["Raiser", str, Rows, str], str]
"""A function that writes rows, which are a foreign value, for a reason; it returns the value of the IR."""


class Raiser:
    """One graph on its way."""

    def __init__(self, graph: ForeignGraph, on_host: OnHost, positions: int) -> None:
        """``on_host`` writes what no native op computes; a sequence may have so many ``positions``."""
        self.graph = graph
        self.positions = positions
        self.on_host = on_host
        self.probes = Probes(graph)
        self.tensors: dict[str, StoredTensor] = {}
        self.builder = ModelBuilder(self.tensors)
        self.meanings: dict[str, Meaning] = {}
        self.uses = Counter(name for node in graph.nodes for name in node.inputs)
        """How often each foreign value is read."""
        self.longest: int | None = None
        """The tokens that a sequence may have at most, where the source fixes that beside its positions."""
        self._biases: dict[Any, Array | None] = {}
        self._places: dict[Any, Array | None] = {}
        self._windows: dict[Any, int | None] = {}
        self._shared: dict[str, dict[bytes, str]] = {}
        self._parts: dict[Any, tuple[Rows, Rows | None]] = {}
        self._numbers = itertools.count()
        self._node: ForeignNode | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of the IR that were written so far."""
        return self.builder.nodes

    def begin(self, node: ForeignNode) -> None:
        """Say which node is raised now, for messages and names."""
        self._node = node

    def error(self, problem: str) -> NodeError:
        """Return an error that names the node which is raised now."""
        return NodeError({str(self._node): problem})

    def no_op(self, problem: str) -> NoOpError:
        """Return an error for the node that is raised now, which the host may compute instead."""
        return NoOpError(self._node, problem)

    def shape(self, value: str) -> Shape:
        """Return the shape of a foreign value."""
        return self.graph.shapes[value]

    def tokens(self, rows: Rows) -> View:
        """Return rows of tokens as [batch, length, columns]."""
        return View(rows, (self.batch, self.length, columns(rows.width)))

    def sequences(self, rows: Rows) -> View:
        """Return rows of sequences as [batch, columns]."""
        return View(rows, (self.batch, columns(rows.width)))

    @property
    def batch(self) -> tuple[Atom, ...]:
        """The axis of sequences."""
        return (Atom("batch", self.graph.batch),)

    @property
    def length(self) -> tuple[Atom, ...]:
        """The axis of tokens."""
        return (Atom("length", self.graph.length),)

    def name(self, kind: str) -> str:
        """Return a name that no node has. ``names.py`` gives better ones when all is known."""
        return f"{kind}.{next(self._numbers)}"

    def write(self, rows: Rows) -> str:
        """Return the value of the IR that rows are; writes the nodes for it at the first time."""
        if rows.value is None:
            rows.value = self._write(rows)
        return rows.value

    def settle(self, rows: Rows) -> Rows:
        """Return rows, written if it is known what they are: an activation, a norm."""
        if isinstance(rows, Expression) and rows.value is None and recognize(rows) is not None:
            self.write(rows)
        return rows

    def _write(self, rows: Rows) -> str:
        if isinstance(rows, HostRows):
            return self.on_host(self, str(rows.source), rows, rows.reason)
        if isinstance(rows, Lookups):
            return self._write_lookups(rows)
        if isinstance(rows, Product):
            return self._write_product(rows)
        if isinstance(rows, Pooled):
            return self.builder.pool(self.name("pool"), self.write(rows.x), rows.mode)
        if isinstance(rows, Expression):
            return self._write_expression(rows)
        raise self.error("bertc has no op for it")

    def _write_lookups(self, rows: Lookups) -> str:
        total = ""
        for kind, table in sorted(rows.tables.items(), key=lambda each: _TABLE_ORDER.index(each[0])):
            name = self.name(kind)
            self.tensors[f"{name}.weight"] = table
            first = rows.first_position if kind == "position" else 0
            found = self.builder.embedding(name, kind, table.shape[0], table.shape[1], first_position=first)
            total = self.builder.add(self.name("add"), total, found) if total else found
        return total

    def _write_product(self, rows: Product) -> str:
        x, name = self.write(rows.x), self.name("linear")
        weight = rows.weight
        self.tensors[f"{name}.weight"] = Tensor(
            (weight.shape[1], weight.shape[0]),
            np.dtype(np.float32),
            lambda: np.ascontiguousarray(weight.array().T),
        )
        if rows.bias is not None:
            self.tensors[f"{name}.bias"] = rows.bias
        return self.builder.linear(name, x, rows.width, bias=rows.bias is not None)

    def _write_expression(self, rows: Expression) -> str:
        found = recognize(rows)
        base = base_of(rows)
        if rows.source is not None and not _has_op(found, base):
            reasons = [each.reason for each in leaves(rows) if isinstance(each, HostRows)]
            reason = [*reasons, "no op of bertc does what these nodes do together"][0]
            return self.on_host(self, rows.source, rows, reason)
        if found is None or base is None:
            raise self.error(
                f"it makes something of {'several values' if base is None else 'a value'} that bertc has no "
                f"op for (last step: {rows.op})"
            )
        if isinstance(found, Affine):
            scaled = scale(base, found.multiplier, found.offset)
            if scaled is None:
                raise self.error("it multiplies hidden states by constants, which bertc cannot do here")
            return self.write(scaled)
        x = self.write(base)
        if isinstance(found, Activation):
            return self.builder.activation(found.name, self.name("activation"), x)
        if isinstance(found, Normalize):
            return self.builder.op("normalize", self.name("normalize"), {"x": x})
        return self.write_norm(x, found)

    def write_norm(self, x: str, norm: LayerNorm) -> str:
        """Write a layer norm of a value."""
        name = self.name("norm")
        for part, array in (("weight", norm.gamma), ("bias", norm.beta)):
            self.tensors[f"{name}.{part}"] = Tensor.of(np.asarray(array, np.float32))
        # The number that was rounded to single precision: 1e-12, of 9.99999996e-13.
        return self.builder.layer_norm(name, x, float(str(np.float32(norm.epsilon))), rms=norm.rms)

    @property
    def longest_known(self) -> int:
        """The tokens up to which what depends on distances is read."""
        tables = [
            self.tensors[node["position"]].shape[0] - int(node.attributes["first_position"])
            for node in self.nodes
            if "position" in node.inputs
        ]
        length = self.graph.length if isinstance(self.graph.length, int) else min(tables, default=_LONGEST)
        return min(length, _LONGEST)

    def distance_bias(self, value: str, shape: Shape, atoms: Sequence[str]) -> Array | None:
        """Return what a value adds to the scores of each head by the distance from query to key, if it does.

        From then on ``longest`` says for how many tokens that is known.
        """
        key = (value, shape, *atoms)
        if key not in self._biases:
            longest = self.longest_known
            self._biases[key] = self.probes.distance_bias(value, shape, atoms, longest)
            if self._biases[key] is not None:
                self.longest = longest
        return self._biases[key]

    def by_place(self, value: str, shape: Shape, atoms: Sequence[str]) -> Array | None:
        """Return what a value is at each place of a sequence, [places, columns], if it depends on no more."""
        key = (value, shape, *atoms)
        if key not in self._places:
            length = self.graph.length if isinstance(self.graph.length, int) else self.positions
            self._places[key] = self.probes.by_place(value, shape, atoms, length)
        return self._places[key]

    def window(
        self, value: str, shape: Shape, atoms: Sequence[str], sees: Callable[[Array], Array]
    ) -> int | None:
        """Return how far queries see by a mask, as :meth:`Probes.window` does."""
        key = (value, shape, *atoms, sees)
        if key not in self._windows:
            length = self.graph.length if isinstance(self.graph.length, int) else _LONGEST
            self._windows[key] = self.probes.window(value, shape, atoms, sees, min(length, _LONGEST))
        return self._windows[key]

    def write_constant(self, kind: str, array: Array, dtype: DType = DType.F32) -> str:
        """Return the constant of the IR that an array is: the same for all layers that have it."""
        array = np.asarray(array, np.int32 if dtype == DType.I32 else np.float32)
        names = self._shared.setdefault(kind, {})
        key = array.tobytes()
        if key not in names:
            names[key] = self.builder.constant(f"{kind}.{len(names)}" if names else kind, array, dtype)
        return names[key]

    def rows_of(self, meaning: Any) -> Rows | None:
        """Return the rows of a view that holds all of their columns, in order, along its last axis.

        Of a part of a linear layer's columns, that is the layer of this part.
        """
        if not isinstance(meaning, View) or not meaning.layout or not _ends_in_columns(meaning.layout):
            return None
        if meaning.rotary is not None:
            return None
        atoms = [atom for atom in meaning.layout[-1] if atom.kind == "column"]
        return self.part(meaning, atoms)

    def part(self, view: View, atoms: Sequence[Atom]) -> Rows | None:
        """Return the rows of the columns that some atoms count, times the view's factor."""
        order = column_order(atoms, view.offset)
        key = (id(view.rows), order.tobytes(), view.factor)
        if key not in self._parts:
            self._parts[key] = (view.rows, _part(view, order))
        return self._parts[key][1]

    def whole(self, meaning: Any) -> Rows | None:
        """Return the rows of a view that holds them all as they are, or a number for each row."""
        if not isinstance(meaning, View) or meaning.factor != 1.0 or meaning.offset:
            return None
        if meaning.rotary is not None:
            return None
        atoms = [atom for axis in meaning.layout for atom in axis if atom.kind == "column"]
        if meaning.rows.width == 1 and not atoms:
            return meaning.rows
        full = _ends_in_columns(meaning.layout) and len(column_order(atoms, 0)) == meaning.rows.width
        return self.rows_of(meaning) if full else None


def _part(view: View, order: Array) -> Rows | None:
    rows = view.rows
    if not np.array_equal(order, np.arange(rows.width)):
        selected = select(rows, order)
        if selected is None:
            return None
        rows = selected
    if view.factor != 1.0:
        return scale(rows, np.float64(view.factor), np.float64(0))
    return rows


_TABLE_ORDER = ("word", "token_type", "position")
"""The order of sums: that of BERT, and of the op ``embed``."""


def _ends_in_columns(layout: Layout) -> bool:
    """Return whether all columns are along the last axis, and it holds nothing else."""
    others = [atom for axis in layout[:-1] for atom in axis]
    return all(atom.kind == "column" for atom in layout[-1]) and all(atom.kind != "column" for atom in others)


def column_order(atoms: Sequence[Atom], offset: int) -> Array:
    """Return the numbers of the columns that atoms count, in order."""
    order = np.array(offset)
    for atom in atoms:
        order = np.add.outer(order, np.arange(atom.size) * atom.stride)
    return order.reshape(-1)


def select(rows: Rows, order: Array) -> Rows | None:
    """Return some columns of a linear layer as a layer of its own; None for other rows."""
    if not isinstance(rows, Product):
        return None
    weight, bias = rows.weight, rows.bias
    chosen = Tensor((weight.shape[0], len(order)), weight.dtype, lambda: weight.array()[:, order])
    part = None if bias is None else Tensor((len(order),), bias.dtype, lambda: bias.array()[order])
    return Product(rows.x, chosen, part)


def scale(rows: Rows, multiplier: Array | np.float64, offset: Array | np.float64) -> Product | None:
    """Return a linear layer whose columns are multiplied and added to; None for other rows."""
    if isinstance(rows, Expression) and rows.value is None:
        found, base = recognize(rows), base_of(rows)
        if base is None or not isinstance(found, Affine):
            return None
        inner = scale(base, found.multiplier, found.offset)
        return None if inner is None else scale(inner, multiplier, offset)
    if not isinstance(rows, Product):
        return None
    weight, bias = rows.weight, rows.bias
    scaled = Tensor(weight.shape, weight.dtype, lambda: np.asarray(weight.array() * multiplier, np.float32))
    if bias is None and not np.any(offset):
        return Product(rows.x, scaled)

    def make() -> Array:
        old = np.zeros(rows.width) if bias is None else bias.array()
        return np.asarray(np.broadcast_to(old * multiplier + offset, (rows.width,)), np.float32)

    return Product(rows.x, scaled, Tensor((rows.width,), np.dtype(np.float32), make))


def is_native(rows: Rows) -> bool:
    """Return whether native ops give rows, or will."""
    if rows.value is not None:
        return True
    if isinstance(rows, HostRows):
        return False
    if isinstance(rows, Lookups):  # others may be no embeddings, but tables of angles: no dtype rounds them
        return "word" in rows.tables
    if not isinstance(rows, Expression):
        return True
    return _has_op(recognize(rows), base_of(rows))


def _has_op(found: Found | None, base: Rows | None) -> bool:
    """Return whether there is a native op for what an expression of some rows was found to be."""
    if found is None or base is None:
        return False
    if isinstance(found, Affine):
        return scale(base, found.multiplier, found.offset) is not None
    return not isinstance(found, Activation) or isinstance(base, Product)


def as_tensor(known: Known, shape: tuple[int, ...]) -> Tensor:
    """Return a constant, reshaped, as float32."""
    constant = known.constant
    return Tensor(
        shape, np.dtype(np.float32), lambda: np.asarray(Known(constant).array, np.float32).reshape(shape)
    )
