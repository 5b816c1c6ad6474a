"""The answer of ``bertc.inspect``: facts of each node, and the same folded to modules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bertc.artifact.json_form import to_json_value
from bertc.inspection.place import NOWHERE
from bertc.ir.graph import Attribute, Dimension, Graph, Stage
from bertc.ports import HOST


@dataclass(frozen=True)
class Value:
    """The type of a value: an input or output of the model, or what a node gives."""

    name: str
    dtype: str
    """The dtype of its elements, as safetensors spells it in lower case: ``f32``, ``bf16``, ``u8``, ..."""
    shape: tuple[Dimension, ...]
    """The sizes, as numbers or by name: ``tokens``, ``sequences``, ``selected``."""

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class NodeFacts:
    """One node of the graph that runs."""

    name: str
    op: str
    place: str
    """Where it runs: "native", in the compiled core; "host", with NumPy; or "nowhere"."""
    dtype: str
    """What it computes in; for an embedding, what its table is stored in: ``fp32``, ``int8``, ..."""
    why: str
    """The reason for its place or its dtype, where these are not simply what the recipe's dtype says."""
    inputs: Mapping[str, str]
    """The name of the value that each operand is."""
    outputs: tuple[Value, ...]
    attributes: Mapping[str, Attribute]
    parameters: int
    """The number of elements of the tensors of the model that it reads."""
    bytes: int
    """The size of all constants that it reads, as they are stored, without padding."""
    operations: int
    """The operations of its matrix products, two per multiply-add, for the whole batch."""
    milliseconds: float | None = None
    """The time of the node: of all threads, over their number. None if it was not measured."""
    share: float | None = None
    """That time as a share of the run's."""


@dataclass(frozen=True)
class Row:
    """A module, or a node: several that are alike are one row, and its figures their sums."""

    name: str
    """The name below the parent's: ``layer.0 .. 5`` are six."""
    count: int
    """The number of modules that this row folds; 1 if it stands for one."""
    op: str
    """The op, for a node."""
    place: str
    dtype: str
    why: str
    output: str
    """The type of the first output, for a node."""
    parameters: int
    """The number of elements of the tensors of the model below it. One that several nodes read counts
    once; one that is stored in two forms, as a table that is a decoder's matrix too, counts twice."""
    bytes: int
    """The size of all constants below it, each counted once."""
    operations: int
    milliseconds: float | None
    share: float | None
    nodes: tuple[str, ...]
    """The names of the nodes that the row stands for, in execution order."""
    children: tuple[Row, ...] = ()


@dataclass(frozen=True)
class Measured:
    """The run that the times are of."""

    isa: str
    threads: int
    milliseconds: float
    """The duration of a run of the batch."""
    idle: float
    """The share of it that threads waited, or copied outputs."""


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a model is made of, and where and in what each node of it runs."""

    source: str
    compiled: bool
    """Whether the source is a ``.bertc`` file, whose graph this is; else it is what compiling would make."""
    model: str
    architecture: str
    task: str
    dtype: str
    """The dtype that the recipe asks for."""
    batch: int
    """The number of sequences that operations and times are for."""
    length: int
    """The number of tokens of each of them."""
    parameters: int
    bytes: int
    """The size of all constants, as they are stored, without padding."""
    operations: int
    """The operations of the whole batch."""
    operations_per_token: float
    measured: Measured | None
    """The run that was measured, if one was."""
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[NodeFacts, ...]
    """The nodes in execution order."""
    tree: tuple[Row, ...]
    notes: tuple[str, ...]
    """What a user should know besides: how the source was read, and what calibration will decide."""
    graphs: Mapping[Stage, Graph] = field(repr=False)
    """The graph at each stage that there is; a compiled file has the last one, "typed"."""

    @property
    def on_host(self) -> tuple[NodeFacts, ...]:
        """The nodes that no native op computes."""
        return tuple(node for node in self.nodes if node.place == HOST)

    @property
    def nowhere(self) -> tuple[NodeFacts, ...]:
        """The nodes that can run nowhere: then the source cannot be compiled, and nothing else is known."""
        return tuple(node for node in self.nodes if node.place == NOWHERE)

    def to_json_value(self) -> dict[str, Any]:
        """Return all but the graphs as dicts, lists and plain values, by the names of the fields."""
        names = [each.name for each in dataclasses.fields(self) if each.name != "graphs"]
        return {name: to_json_value(getattr(self, name)) for name in names}
