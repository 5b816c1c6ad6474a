"""A typed graph to packed tensors and a program: the op table says how each operand is packed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bertc.artifact.executable import Executable, Tensor
from bertc.artifact.schema import Buffer, Program, Step
from bertc.errors import GraphError
from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.ir.op import Packing
from bertc.ir.ops import OPS
from bertc.ir.verifier import verify
from bertc.lowering.pack import (
    LANES,
    column_sums,
    gated_column_sums,
    pack_distances,
    pack_gated_vector,
    pack_gated_weight,
    pack_table,
    pack_vector,
    pack_weight,
    round_up,
    weight_bits,
)
from bertc.lowering.plan_memory import plan_memory

Packer = Callable[[Constant], Tensor]
Pack = Callable[[Packer, Constant], Tensor]
"""A function that applies a packer, or remembers what it gave."""

_PACKERS: Mapping[Packing, Packer] = {
    "vector": pack_vector,
    "table": pack_table,
    "weight": pack_weight,
    "distances": pack_distances,
    "angles": pack_table,
}
_GATED: Mapping[Packer, Packer] = {
    pack_vector: pack_gated_vector,
    pack_weight: pack_gated_weight,
    column_sums: gated_column_sums,
}
"""The packers of a gated layer's operands, by those of others."""


def lower(graph: Graph, pack: Pack = lambda packer, constant: packer(constant)) -> Executable:
    """Lower a fused or a typed graph. Raises ``GraphError`` for an op without a kernel."""
    types = verify(graph.with_nodes(graph.nodes, stage="typed"))
    tensors: dict[str, Tensor] = {}
    steps = tuple(_lower_node(node, graph, tensors, pack) for node in graph.nodes)
    used = {value for node in graph.nodes for value in node.inputs.values()}
    inputs = tuple(port for port in graph.inputs if port.name in used)
    given = tuple(port.name for port in inputs if port.columns)
    kinds = {value: types[value] for value in (*given, *(v for node in graph.nodes for v in node.outputs))}
    columns = {value: int(kind.shape[1]) if len(kind.shape) == 2 else 0 for value, kind in kinds.items()}
    row_bytes = {
        value: (round_up(columns[value], LANES) or 1) * kind.dtype.itemsize for value, kind in kinds.items()
    }
    plan = plan_memory(steps, row_bytes, tuple(graph.outputs.values()), given)
    buffers = tuple(
        Buffer(value, kind.dtype.value, str(kind.shape[0]), columns[value], plan.slot_of[value])
        for value, kind in kinds.items()
    )
    program = Program(buffers, plan.slots, steps, dict(graph.outputs), inputs, _features(steps))
    return Executable(program, tensors)


def _features(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return what a reader must know besides what all readers of this version of the file format know."""
    used = {
        f"{step.op}.{name}" if name != step.op else name
        for step in steps
        for name in OPS[step.op].features
        if name in (step.op, *step.inputs, *step.attributes)
    }
    return tuple(sorted(used))


def _lower_node(node: Node, graph: Graph, tensors: dict[str, Tensor], pack: Pack) -> Step:
    op, inputs = OPS[node.op], dict(node.inputs)
    gated = bool(node.attributes.get("gated"))
    # A buffer has a dtype of its own: the program need not say it twice.
    attributes = {k: v for k, v in node.attributes.items() if k != "out_dtype" and op.defaults.get(k) != v}
    for operand in op.operands:
        value = node[operand.name]
        if operand.packing is None or not value:
            continue
        if value not in graph.constants:
            raise GraphError(f"node {node.name!r}: input {operand.name!r} ({value!r}) must be a constant")
        # Nodes may share a constant.
        if value not in tensors:
            packer = _PACKERS[operand.packing]
            packer = _GATED[packer] if gated and operand.name != "static" else packer
            tensors[value] = pack(packer, graph.constants[value])
        if operand.packing in ("table", "angles"):
            # Packing adds rows that no id may name.
            attributes[f"{operand.name}_rows"] = graph.constants[value].source.shape[0]
    if node.op == "linear_int8":
        del inputs["weight_scale"]
        for name, (value, packer, constant) in _columns_of_int8(node, graph).items():
            inputs[name] = value
            if value not in tensors:
                tensors[value] = pack(_GATED[packer] if gated else packer, constant)
        if node["scale"] in graph.constants:
            del inputs["scale"], inputs["zero_point"]
        attributes["weight_bits"] = weight_bits(graph.constants[node["weight"]])
    return Step(node.op, node.name, inputs, node.outputs, attributes)


def _columns_of_int8(node: Node, graph: Graph) -> dict[str, tuple[str, Packer, Constant]]:
    """Return scales and sums of an 8-bit weight's columns, by operand: name, packer and constant.

    Where all rows share one scale and zero point, those are multiplied into them.
    """
    scale, zero_point, weight, weight_scale = (
        node[operand] for operand in ("scale", "zero_point", "weight", "weight_scale")
    )
    if scale not in graph.constants:
        return {
            "column_scale": (weight_scale, pack_vector, graph.constants[weight_scale]),
            "column_sum": (f"{weight}.column_sum", column_sums, graph.constants[weight]),
        }
    scales, zero_points, numbers, weight_scales = (
        graph.constants[name].array for name in (scale, zero_point, weight, weight_scale)
    )
    columns = Constant(DType.F32, scales * weight_scales)
    shift = Constant(DType.I32, zero_points * numbers.sum(axis=1, dtype=np.int32))
    return {
        "column_scale": (f"{node.name}.column_scale", pack_vector, columns),
        "column_sum": (f"{node.name}.column_shift", pack_vector, shift),
    }
