"""Whether a graph is well formed, and the types of all its values. Runs between all stages."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from bertc.errors import GraphError
from bertc.ir.formulas import round_to_bf16
from bertc.ir.graph import SEQUENCES_PLUS_ONE, Attribute, Constant, DType, Graph, Node, Stage, TensorType
from bertc.ir.op import Op, Types
from bertc.ir.ops import OPS
from bertc.ports import CU_SEQLENS, SELECTED, SEQUENCES, TOKENS, Port

_NUMPY_DTYPES = {
    DType.F32: np.float32,
    DType.F16: np.float16,
    DType.BF16: np.float32,
    DType.I8: np.int8,
    DType.U8: np.uint8,
    DType.I32: np.int32,
}


def verify(graph: Graph, *, stages: Collection[Stage] | None = None) -> dict[str, TensorType]:
    """Return the type of every value (inputs, constants, node outputs) by name.

    Raises ``GraphError`` that names the node and the problem. An op is legal if it belongs to one
    of ``stages``, by default the graph's own: a pass in the middle of fusion allows two.
    """
    legal = frozenset(stages or {graph.stage})
    types = input_types(graph)
    for name, constant in graph.constants.items():
        _define(types, name, _constant_type(name, constant), "constant")
    node_names: set[str] = set()
    for node in graph.nodes:
        if not node.name or node.name in node_names:
            raise GraphError(f"node name {node.name!r} is empty or taken: node names must be unique")
        node_names.add(node.name)
        for value, value_type in zip(node.outputs, _output_types(node, types, legal), strict=True):
            _define(types, value, value_type, f"node {node.name!r}")
    if not graph.outputs:
        raise GraphError("the graph has no outputs")
    for public, value in graph.outputs.items():
        if value not in types:
            raise GraphError(f"graph output {public!r} is {value!r}, which nothing produces")
    return types


def output_ports(graph: Graph) -> tuple[Port, ...]:
    """Return the graph's outputs as ports, each a matrix of floats. Raises ``GraphError``."""
    types = verify(graph)
    return tuple(
        Port(name, types[value].dtype.value, str(types[value].shape[0]), int(types[value].shape[1]))
        for name, value in graph.outputs.items()
    )


def input_types(graph: Graph) -> dict[str, TensorType]:
    """Return the types of the graph's inputs by name, ``cu_seqlens`` among them. Raises ``GraphError``."""
    types = {CU_SEQLENS: TensorType(DType.I32, (SEQUENCES_PLUS_ONE,))}
    for port in graph.inputs:
        if port.dtype not in {"i32", "f32"} or port.rows not in (TOKENS, SEQUENCES, SELECTED):
            raise GraphError(f"graph input {port.name!r} cannot be {port.dtype} with rows {port.rows!r}")
        _define(types, port.name, TensorType.of_port(port), "graph input")
    return types


def _define(types: dict[str, TensorType], name: str, value_type: TensorType, who: str) -> None:
    if not name or name in types:
        raise GraphError(f"{who}: value name {name!r} is empty or taken: each value has one producer")
    types[name] = value_type


def _constant_type(name: str, constant: Constant) -> TensorType:
    expected = np.dtype(_NUMPY_DTYPES[constant.dtype])
    array = constant.source
    if not isinstance(array, np.ndarray):
        return constant.type
    if array.dtype != expected:
        raise GraphError(
            f"constant {name!r} is declared {constant.dtype.value} but holds {array.dtype}, not {expected}"
        )
    if constant.dtype == DType.BF16 and not np.array_equal(array, round_to_bf16(array), equal_nan=True):
        raise GraphError(f"constant {name!r} is declared bf16 but holds numbers that bf16 cannot")
    return constant.type


def _output_types(
    node: Node, types: Mapping[str, TensorType], legal: frozenset[str]
) -> tuple[TensorType, ...]:
    where = f"node {node.name!r} ({node.op})"
    op = OPS.get(node.op)
    if op is None:
        raise GraphError(f"{where}: no such op; the op table has {', '.join(OPS)}")
    if not op.stages & legal:
        raise GraphError(
            f"{where}: the op belongs to stage {' or '.join(sorted(op.stages))}, "
            f"the graph is in stage {' or '.join(sorted(legal))}"
        )
    operands = _operand_types(where, op, node, types)
    imported = [each.name for each in op.operands if each.imported_only and each.name in node.inputs]
    if imported and "imported" not in legal:
        raise GraphError(f"{where}: input {imported[0]!r} is legal in stage imported only")
    if len(node.outputs) != len(op.outputs):
        raise GraphError(f"{where}: {len(node.outputs)} outputs, expected ({', '.join(op.outputs)})")
    attributes = op.complete(node.attributes)
    _check_attributes(where, op, attributes)
    try:
        return op.rule(operands, attributes)
    except GraphError as error:
        raise GraphError(f"{where}: {error}") from None


def _operand_types(where: str, op: Op, node: Node, types: Mapping[str, TensorType]) -> Types:
    known = [operand.name for operand in op.operands]
    for name, value in node.inputs.items():
        if name not in known:
            raise GraphError(f"{where}: no such input {name!r}; the op takes {', '.join(known)}")
        if value not in types:
            raise GraphError(f"{where}: input {name!r} is {value!r}, which nothing before it produces")
    for operand in op.operands:
        if not operand.optional and operand.name not in node.inputs:
            raise GraphError(f"{where}: input {operand.name!r} is missing")
    return {name: types[value] for name, value in node.inputs.items()}


def _check_attributes(where: str, op: Op, attributes: Mapping[str, Attribute]) -> None:
    if set(attributes) != set(op.attributes):
        found, expected = ", ".join(sorted(attributes)), ", ".join(sorted(op.attributes))
        raise GraphError(f"{where}: attributes are ({found}), expected ({expected})")
    for name, allowed in op.attributes.items():
        value = attributes[name]
        if isinstance(allowed, tuple):
            if value not in allowed:
                raise GraphError(
                    f"{where}: attribute {name!r} is {value!r}, expected one of {', '.join(allowed)}"
                )
        elif type(value) is not allowed:
            raise GraphError(f"{where}: attribute {name!r} is {value!r}, expected {allowed.__name__}")
