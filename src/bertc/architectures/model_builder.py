"""Writes a graph node by node, for architectures and heads, and asks for tensors where it uses them.

Each module method names its module as the checkpoint does, appends a node, and returns its value. Tensors are
read when the graph is finished; what is missing or misshaped is then reported all at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.errors import CheckpointError
from bertc.ir.graph import Attribute, Constant, DType, Graph, Node, StoredTensor
from bertc.ir.reference import TABLES
from bertc.ports import CU_SEQLENS, SELECTED, TOKENS, Port

Array = np.ndarray[Any, Any]

MAX_TENSORS = 100_000
"""Far beyond any encoder: a config that asks for more is wrong, and building it would never end."""


Order = np.ndarray[Any, np.dtype[np.int64]]


class Rows:
    """Rows of a stored tensor, which is read whenever they are."""

    def __init__(self, whole: StoredTensor, rows: slice | Order) -> None:
        count = rows.stop - rows.start if isinstance(rows, slice) else len(rows)
        self.shape = (count, *whole.shape[1:])
        self._whole, self._rows = whole, rows

    def read(self) -> Array:
        """Return a float32 copy."""
        return np.ascontiguousarray(self._whole.read()[self._rows])


class _Derived:
    """What a function makes of stored tensors, whenever it is read."""

    def __init__(
        self, shape: tuple[int, ...], tensors: Sequence[StoredTensor], derive: Callable[..., Array]
    ) -> None:
        self.shape = shape
        self._tensors, self._derive = tensors, derive

    def read(self) -> Array:
        made = self._derive(*(tensor.read() for tensor in self._tensors))
        return np.ascontiguousarray(made, dtype=np.float32)


class ModelBuilder:
    """Collects nodes in execution order, and the tensors that they need.

    A node, and the one value it produces, is named as its module in the checkpoint; its constants are the
    module's name and ``.weight`` or ``.bias``. A module that is used several times (shared layers) gives
    each use its own ``name`` and all of them the same ``module``: its tensors are stored once.
    """

    def __init__(self, tensors: Mapping[str, StoredTensor]) -> None:
        """``tensors`` go by name, without what a checkpoint puts before all names."""
        self._tensors = tensors
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._stored: dict[str, str] = {}
        self._constants: dict[str, Constant] = {}
        self._parts: dict[str, tuple[str, slice | Order]] = {}
        self._derived: dict[str, tuple[tuple[int, ...], Sequence[str], Callable[..., Array]]] = {}
        self._nodes: list[Node] = []
        self._inputs: dict[str, Port] = {}
        self._columns: dict[str, int] = {}
        self.hidden_states: list[str] = []
        """What the embeddings and each layer give, as far as a family says it."""

    def hidden_state(self, value: str) -> str:
        """Say that a value is what the embeddings or a layer give; return it."""
        self.hidden_states.append(value)
        return value

    @property
    def wanted(self) -> Collection[str]:
        """The names of the tensors that were asked for so far."""
        return {self._stored.get(name, name) for name in self._shapes}

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes so far."""
        return tuple(self._nodes)

    def columns(self, value: str) -> int:
        """The width of a value."""
        return self._columns[value]

    def unused(self, name: str) -> str:
        """The name, numbered if a node has it already."""
        names = itertools.chain([name], (f"{name}.{number}" for number in itertools.count(2)))
        return next(each for each in names if each not in self._columns)

    def is_sound(self, module: str) -> bool:
        """Whether the checkpoint has tensors of a module, and their numbers are finite."""
        tensors = [tensor for name, tensor in self._tensors.items() if name.startswith(f"{module}.")]
        try:
            for tensor in tensors:
                tensor.read()
        except CheckpointError:
            return False
        return bool(tensors)

    def op(
        self,
        op: str,
        name: str,
        operands: Mapping[str, str],
        *,
        columns: int | None = None,
        **attributes: Attribute,
    ) -> str:
        """Any op with one output, ``columns`` wide; without it, as wide as the first operand."""
        self._nodes.append(Node(name, op, operands, (name,), MappingProxyType(attributes)))
        self._columns[name] = self._columns[next(iter(operands.values()))] if columns is None else columns
        return name

    def embedding(
        self,
        name: str,
        table: str,
        rows: int,
        columns: int,
        *,
        first_position: int = 0,
        stored_rows: int = 0,
    ) -> str:
        """Rows of ``name.weight`` [rows, columns]: ``table`` is the operand of ``embed`` that they are.

        ``first_position`` is the row of a sequence's first token, in a table of positions. Of a tensor of
        more, ``stored_rows``, the first ones are taken.
        """
        ids = TABLES[table]
        self._inputs[ids] = Port(ids, "i32", TOKENS)
        weight = self._tensor(f"{name}.weight", stored_rows or rows, columns)
        if stored_rows > rows:
            weight = self._part(f"{name}.first", weight, slice(0, rows))
        operands = {ids: ids, table: weight, "cu_seqlens": CU_SEQLENS}
        return self.op("embed", name, operands, columns=columns, first_position=first_position)

    def derived(
        self,
        name: str,
        shape: tuple[int, ...],
        tensors: Mapping[str, tuple[int, ...]],
        derive: Callable[..., Array],
    ) -> str:
        """A float32 constant of a ``shape`` that ``derive`` makes of tensors, whose shapes go by name.

        It is made anew wherever it is read: most passes want to know its shape.
        """
        asked = [self._tensor(tensor, *size) for tensor, size in tensors.items()]
        self._derived[name] = (shape, asked, derive)
        return name

    def constant(self, name: str, source: Array | StoredTensor, dtype: DType = DType.F32) -> str:
        """A constant that the checkpoint does not have."""
        self._constants[name] = Constant(dtype, source)
        return name

    def linear(
        self,
        name: str,
        x: str,
        out_features: int,
        *,
        module: str | None = None,
        bias: bool = True,
        part: tuple[int, int] = (0, 1),
        order: Order | None = None,
        tied_weight: str = "",
        tied_bias: str = "",
        weight: str = "",
    ) -> str:
        """A dense layer: ``module.weight`` [out_features, columns of x] and, if it has one, ``module.bias``.

        ``part`` is its number, from 0, among how many layers whose rows the tensors of the module hold one
        after the other; ``order`` has the rows in the order in which this layer gives them, if that is
        another. ``tied_weight`` and ``tied_bias`` are tensors that stand for them where the
        checkpoint has no others. ``weight`` is a constant that is the matrix instead.
        """
        module = name if module is None else module
        index, count = part
        shape = (count * out_features, self._columns[x])
        operands = {"x": x, "weight": weight or self._tensor(f"{module}.weight", *shape, tied=tied_weight)}
        if bias:
            operands["bias"] = self._tensor(f"{module}.bias", count * out_features, tied=tied_bias)
        if count > 1 or order is not None:
            rows = slice(index * out_features, (index + 1) * out_features) if order is None else order
            operands |= {
                operand: self._part(f"{name}.{operand}", value, rows)
                for operand, value in operands.items()
                if operand != "x"
            }
        if not bias:
            operands["bias"] = self._zeros(f"{module}.bias" if count == 1 else f"{name}.bias", out_features)
        return self.op("linear", name, operands, activation="none", columns=out_features)

    def layer_norm(
        self,
        name: str,
        x: str,
        epsilon: float,
        *,
        module: str | None = None,
        bias: bool = True,
        rms: bool = False,
    ) -> str:
        """A layer norm: ``module.weight`` and, if it has one, ``module.bias``, a number per column of x.

        An RMS norm leaves the mean in.
        """
        module = name if module is None else module
        gamma = self._tensor(f"{module}.weight", self._columns[x])
        beta = (self._tensor if bias else self._zeros)(f"{module}.bias", self._columns[x])
        operands, attributes = {"x": x, "gamma": gamma, "beta": beta}, {"rms": 1} if rms else {}
        return self.op("layer_norm", name, operands, epsilon=epsilon, **attributes)

    def add(self, name: str, a: str, b: str) -> str:
        """The sum of two values."""
        return self.op("add", name, {"a": a, "b": b})

    def multiply(self, name: str, a: str, b: str) -> str:
        """The product of two values, element by element."""
        return self.op("multiply", name, {"a": a, "b": b})

    def concat(self, name: str, a: str, b: str) -> str:
        """The columns of two values side by side."""
        return self.op("concat", name, {"a": a, "b": b}, columns=self._columns[a] + self._columns[b])

    def select(self, name: str, x: str) -> str:
        """The rows of the tokens that callers select."""
        self._inputs[SELECTED] = Port(SELECTED, "i32", SELECTED)
        return self.op("select_rows", name, {"x": x, "selected": SELECTED})

    def pool(self, name: str, x: str, mode: str, *, partial: bool = False) -> str:
        """A row for each sequence, of its tokens' rows; ``partial``: of those that callers flag."""
        operands = {
            "x": x,
            "cu_seqlens": CU_SEQLENS,
            **({"pooled": self.token_input("pooled")} if partial else {}),
        }
        return self.op("pool", name, operands, mode=mode)

    def flag_attention(self) -> None:
        """Let callers flag the tokens that are attended to, in all layers so far."""
        flags = self.token_input("attended")
        self._nodes = [
            node.with_inputs(attended=flags) if node.op == "attention" else node for node in self._nodes
        ]

    def token_input(self, name: str) -> str:
        """Ask for an input with an integer for each token. Returns its name."""
        self._inputs[name] = Port(name, "i32", TOKENS)
        return name

    def activation(self, kind: str, name: str, x: str) -> str:
        """An elementwise function, by the name of its op."""
        return self.op(kind, name, {"x": x})

    def host(
        self,
        name: str,
        values: Mapping[str, str],
        ids: Collection[str],
        numbers: int,
        *,
        columns: int,
        **attributes: Attribute,
    ) -> str:
        """What the host computes of values, ids and ``name.numbers`` [numbers], by the op's attributes."""
        self._inputs.update({each: Port(each, "i32", TOKENS) for each in ids})
        vector = {"numbers": self._tensor(f"{name}.numbers", numbers)} if numbers else {}
        operands = {**values, **{each: each for each in ids}, "cu_seqlens": CU_SEQLENS, **vector}
        return self.op("host", name, operands, columns=columns, **attributes)

    def graph(self, outputs: Mapping[str, str]) -> Graph:
        """The finished graph, stage "imported". Raises ``CheckpointError`` with all that does not fit."""
        self._check_tensors()
        for name in self._shapes:
            self._find(name).read()  # to find what cannot be read before any work is done
        divided = {whole for whole, _ in self._parts.values()}
        divided.update(tensor for _, tensors, _ in self._derived.values() for tensor in tensors)
        divided -= {value for node in self._nodes for value in node.inputs.values()}
        stored = {name: Constant(DType.F32, self._find(name)) for name in self._shapes if name not in divided}
        parts = {
            name: Constant(DType.F32, Rows(self._find(whole), rows))
            for name, (whole, rows) in self._parts.items()
        }
        derived = {
            name: Constant(DType.F32, _Derived(shape, [self._find(each) for each in tensors], derive))
            for name, (shape, tensors, derive) in self._derived.items()
        }
        constants = {**stored, **parts, **self._constants, **derived}
        return Graph(tuple(self._inputs.values()), constants, tuple(self._nodes), outputs)

    def _tensor(self, name: str, *shape: int, tied: str = "") -> str:
        """Ask for a tensor, or for the one it is tied to. Returns its name, which is that of the constant."""
        if len(self._shapes) >= MAX_TENSORS:
            raise CheckpointError(
                f"config.json asks for more than {MAX_TENSORS} tensors: check its numbers of layers"
            )
        if self._shapes.setdefault(name, shape) != shape:
            raise ValueError(f"{name} is used as {self._shapes[name]} and as {shape}")
        if tied and name not in self._tensors:
            self._stored[name] = tied
        return name

    def _part(self, name: str, whole: str, rows: slice | Order) -> str:
        """Make a constant of some rows of a tensor that was asked for."""
        self._parts[name] = (whole, rows)
        return name

    def _zeros(self, name: str, length: int) -> str:
        return self.constant(name, np.zeros(length, np.float32))

    def _find(self, name: str) -> StoredTensor:
        return self._tensors[self._stored.get(name, name)]

    def _check_tensors(self) -> None:
        shapes = {self._stored.get(name, name): shape for name, shape in self._shapes.items()}
        missing = [name for name in shapes if name not in self._tensors]
        wrong = [
            f"{name} is {list(self._tensors[name].shape)}, expected {list(shape)}"
            for name, shape in shapes.items()
            if name in self._tensors and self._tensors[name].shape != shape
        ]
        problems = []
        if missing:
            problems.append(f"missing tensors: {', '.join(missing)}")
        if wrong:
            problems.append(f"tensors whose shapes do not fit config.json: {'; '.join(wrong)}")
        if problems:
            raise CheckpointError(". ".join(problems))
