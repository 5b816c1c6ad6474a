"""From the nodes of an ONNX file to a foreign graph, by the import tables."""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Mapping, Sequence
from typing import Any

from bertc.errors import CheckpointError, NodeError
from bertc.foreign.builder import ForeignBuilder
from bertc.foreign.graph import BATCH, LENGTH, ForeignGraph
from bertc.frontends.onnx import fused, hosted, quantized, standard
from bertc.frontends.onnx.call import Call, Row
from bertc.frontends.onnx.model_file import OnnxModel, OnnxNode
from bertc.frontends.roles import find_roles
from bertc.primitives.dim import Dim

OLDEST, NEWEST = 11, 28
"""The versions of ONNX's own operators that the tables were written for."""
TABLES: Mapping[str, Sequence[Row]] = {
    "": (*standard.TABLE, *fused.STANDARD_TABLE, *quantized.STANDARD_TABLE, *hosted.TABLE),
    "com.microsoft": (*fused.MICROSOFT_TABLE, *quantized.MICROSOFT_TABLE, *hosted.MICROSOFT_TABLE),
}
"""The rows of each domain of operators."""
_MOVES = frozenset(
    (
        "Reshape",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Slice",
        "Split",
        "Gather",
        "Expand",
        "Concat",
    )
)
"""Operators that give whole numbers where they are given such."""
_BORROWED = {"LayerNormalization": "", "Gelu": ""}
"""Operators that ONNX Runtime wrote under another domain, or before a version had them."""


def to_foreign(model: OnnxModel, wanted: Sequence[str]) -> tuple[ForeignGraph, tuple[str, ...]]:
    """Return the graph of some of a model's outputs, and notes. Raises ``CheckpointError``."""
    _check_versions(model)
    builder, notes, rounded = ForeignBuilder(), set[str](), dict[str, str]()
    builder.constants.update(model.constants)
    nodes = _needed(model, _ordered(model), wanted)
    rows = _rows(model, nodes)
    roles = _roles(model, nodes)
    values = {**{name: name for name in model.constants}, **_inputs(model, builder, roles)}
    for node, row in zip(nodes, rows, strict=True):
        builder.begin(node.name, f"{node.domain}.{node.op}".lstrip("."))
        version = model.versions.get(node.domain, 1)
        missing = next((name for name in node.inputs if name and name not in values), None)
        if missing is not None:
            raise CheckpointError(
                f"node {node}: its input {missing!r} is an output that nothing computes here"
            )
        operands = tuple(values[name] if name else "" for name in node.inputs)
        call = Call(builder, operands, node.attributes, len(node.outputs), version, rounded, notes, str(node))
        results = _import(row, call)
        if node.op in _MOVES and operands[0] in rounded:
            rounded.update(dict.fromkeys(results, rounded[operands[0]]))
        for name, value in zip(node.outputs, results, strict=False):
            if name and value:
                values[name] = value
    batch, length = _sizes(model, roles)
    lost = [name for name in wanted if name not in values]
    if lost:
        raise CheckpointError(
            f"{model.path}: the output {lost[0]!r} is computed by nothing that is supported"
        )
    graph = ForeignGraph(
        inputs=dict.fromkeys(roles.values(), (batch, length)),
        constants=builder.constants,
        nodes=tuple(builder.nodes),
        outputs={name: values[name] for name in wanted},
        batch=batch,
        length=length,
    )
    return graph, tuple(sorted(notes))


def _import(row: Row, call: Call) -> tuple[str, ...]:
    try:
        result = row.function(call)
    except (KeyError, IndexError, TypeError, ValueError, ArithmeticError) as error:
        raise call.error(
            f"its operands and attributes do not make sense together ({type(error).__name__}: {error})"
        ) from None
    return (result,) if isinstance(result, str) else result


def _check_versions(model: OnnxModel) -> None:
    version = model.versions.get("", 0)
    if not OLDEST <= version <= NEWEST:
        advice = "export the model with a newer opset" if version < OLDEST else "update bertc"
        raise CheckpointError(
            f"{model.path} has opset {version}, this bertc reads {OLDEST} to {NEWEST}: {advice}"
        )


def _rows(model: OnnxModel, nodes: Sequence[OnnxNode]) -> list[Row]:
    """Return the row of each node. Raises ``NodeError`` that names all nodes without one."""
    found = [_row(node, model.versions.get(node.domain, 1)) for node in nodes]
    problems = {str(node): row for node, row in zip(nodes, found, strict=True) if isinstance(row, str)}
    if problems:
        raise NodeError(problems)
    return [row for row in found if isinstance(row, Row)]


def _row(node: OnnxNode, version: int) -> Row | str:
    """Return the row of a node, or why it has none and what to do."""
    rows = TABLES.get(node.domain)
    if rows is None:
        return (
            f"its operator is of the domain {node.domain!r}, known are ONNX's own and "
            f"{', '.join(filter(None, TABLES))}: export the model without that package's operators"
        )
    fitting = [
        row
        for row in rows
        if row.name == node.op and (row.first <= version <= row.last or node.op in _BORROWED)
    ]
    if fitting:
        return fitting[0]
    close = difflib.get_close_matches(node.op, [row.name for row in rows], 1)
    hint = f"; the nearest is {close[0]}" if close else ""
    return f"no such operator is supported in version {version}{hint}"


def _ordered(model: OnnxModel) -> list[OnnxNode]:
    """Return the nodes so that each follows what it reads. Raises ``CheckpointError`` for cycles and gaps."""
    known = {"", *model.constants, *model.inputs}
    producers: dict[str, OnnxNode] = {}
    for node in model.nodes:
        for name in filter(None, node.outputs):
            if name in producers or name in known:
                raise CheckpointError(f"node {node}: it writes {name!r}, which is there already")
            producers[name] = node
    if all(name in known or name in producers for node in model.nodes for name in node.inputs):
        try:
            return _by_need(model.nodes, producers)
        except graphlib.CycleError:
            pass
    raise _unordered(model.nodes, known, producers)


def _by_need(nodes: Sequence[OnnxNode], producers: Mapping[str, OnnxNode]) -> list[OnnxNode]:
    """Return the nodes so that each follows what it reads, as the file has them if it does so already."""
    places = {id(node): place for place, node in enumerate(nodes)}
    needs = [{places[id(producers[name])] for name in node.inputs if name in producers} for node in nodes]
    if all(max(needed, default=-1) < place for place, needed in enumerate(needs)):
        return [*nodes]
    return [nodes[place] for place in graphlib.TopologicalSorter(dict(enumerate(needs))).static_order()]


def _unordered(
    nodes: Sequence[OnnxNode], known: set[str], producers: Mapping[str, OnnxNode]
) -> CheckpointError:
    for node in nodes:
        missing = next((name for name in node.inputs if name not in known and name not in producers), None)
        if missing is not None:
            return CheckpointError(
                f"node {node}: nothing produces its input {missing!r}: the file is damaged"
            )
    return CheckpointError(
        f"node {nodes[0]}: it waits for its own result, there is a cycle: the file is damaged"
    )


def _needed(model: OnnxModel, nodes: Sequence[OnnxNode], wanted: Sequence[str]) -> list[OnnxNode]:
    """Return the nodes that the wanted outputs need: others may hold anything."""
    needed, kept = {*wanted}, []
    for node in reversed(nodes):
        if needed.intersection(node.outputs):
            kept.append(node)
            needed.update(node.inputs)
    unknown = needed & {*wanted} - {*model.inputs} - {*model.constants} - {
        each for node in kept for each in node.outputs
    }
    if unknown:
        raise CheckpointError(f"{model.path}: nothing produces the output {min(unknown)!r}")
    return kept[::-1]


def _roles(model: OnnxModel, nodes: Sequence[OnnxNode]) -> dict[str, str]:
    """Return the role of each input that is used."""
    used = {name for node in nodes for name in node.inputs}
    rows = {
        node.inputs[1]: model.constants[node.inputs[0]].shape[0]
        for node in reversed(nodes)
        if node.op == "Gather" and node.inputs[0] in model.constants
    }
    tables = [shape[0] for each in model.constants.values() if len(shape := each.shape) == 2]
    names = [name for name in model.inputs if name in used]
    return find_roles(names, rows, max(tables, default=0), str(model.path))


def _inputs(model: OnnxModel, builder: ForeignBuilder, roles: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each input; of [batch, choices, length] with one choice: each is a row then."""
    builder.begin("inputs", "")
    return {
        name: builder.op("unsqueeze", role, axes=(1,)) if len(model.inputs[name]) == 3 else role
        for name, role in roles.items()
    }


def _sizes(model: OnnxModel, roles: Mapping[str, str]) -> tuple[Any, Any]:
    """Return the numbers of sequences and of tokens: symbols, or the numbers that the file fixes."""
    sizes: list[Any] = [Dim.symbol(BATCH), Dim.symbol(LENGTH)]
    for name in roles:
        dims = model.inputs[name]
        if len(dims) == 3:
            if isinstance(dims[1], int) and dims[1] != 1:
                raise CheckpointError(
                    f"{model.path}: the input {name!r} is of {dims[1]} choices: export it for any number"
                )
            dims = (dims[0], dims[2])
        if len(dims) != 2:
            raise CheckpointError(
                f"{model.path}: the input {name!r} has {len(dims)} dimensions, expected [batch, length], or "
                "[batch, choices, length]"
            )
        for axis, size in enumerate(dims):
            if isinstance(size, int) and size > 0:
                if isinstance(sizes[axis], int) and sizes[axis] != size:
                    raise CheckpointError(
                        f"{model.path}: its inputs differ in size: {sizes[axis]} and {size}"
                    )
                sizes[axis] = size
    return sizes[0], sizes[1]
