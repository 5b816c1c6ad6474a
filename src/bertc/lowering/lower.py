"""A typed graph to packed tensors and a program, one table row per op."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bertc.artifact.executable import Executable, Tensor
from bertc.artifact.schema import Attribute, Buffer, Program, Step
from bertc.errors import GraphError
from bertc.ir.graph import TOKENS, Constant, DType, Graph, Node, TensorType
from bertc.ir.verifier import verify
from bertc.lowering.pack import (
    LANES,
    column_sums,
    pack_table,
    pack_vector,
    pack_weight,
    round_up,
    weight_bits,
)
from bertc.lowering.plan_memory import PlannedStep, plan_memory

Packer = Callable[[Constant], Tensor]
Pack = Callable[[Packer, Constant], Tensor]
"""Applies a packer, or remembers what it gave."""

_NORM: tuple[Packer | None, ...] = (None, pack_vector, pack_vector)
_LINEAR: tuple[Packer | None, ...] = (None, pack_weight, pack_vector, None)
_INT8: tuple[Packer | None, ...] = (None, None, None, pack_weight, None, pack_vector, None, pack_vector)
_EMBED: tuple[Packer | None, ...] = (None, None, None, pack_table, pack_vector, pack_table, pack_table)

_HOW: tuple[Packer | None, ...] = (pack_vector, pack_vector, pack_vector)

PACKERS: Mapping[str, tuple[Packer | None, ...]] = {
    "embed": _EMBED,
    "layer_norm": _NORM,
    "layer_norm_quantize": (*_NORM, *_HOW),
    "layer_norm_bf16": _NORM,
    "linear": _LINEAR,
    "linear_bf16": _LINEAR,
    "linear_int8": _INT8,
    "attention_qkv": (None, None, pack_vector),
    "quantize_rows": (None, *_HOW),
    "cast_bf16": (None,),
    "pool": (None, None),
    "normalize": (None,),
}
"""Op -> how each operand is packed; None for an activation, a model input, or what is made below."""


def _pack_now(packer: Packer, constant: Constant) -> Tensor:
    return packer(constant)


def lower(graph: Graph, pack: Pack = _pack_now) -> Executable:
    """Lower a graph of stage "typed". Raises ``GraphError`` for an op without a kernel."""
    types = verify(graph)
    tensors: dict[str, Tensor] = {}
    steps = tuple(_lower_node(node, graph, tensors, pack) for node in graph.nodes)
    values = [value for node in graph.nodes for value in node.outputs]
    row_bytes = {value: _row_bytes(types[value]) for value in values}
    planned = [PlannedStep(step.op, step.inputs, step.outputs) for step in steps]
    plan = plan_memory(planned, row_bytes, tuple(graph.outputs.values()))
    buffers = tuple(_buffer(value, types[value], plan.slot_of[value]) for value in values)
    return Executable(Program(buffers, plan.slots, steps, dict(graph.outputs)), tensors)


def _columns(kind: TensorType) -> int:
    return int(kind.shape[1]) if len(kind.shape) == 2 else 0


def _row_bytes(kind: TensorType) -> int:
    return (round_up(_columns(kind), LANES) or 1) * kind.dtype.itemsize


def _buffer(value: str, kind: TensorType, slot: int) -> Buffer:
    rows = "tokens" if kind.shape[0] == TOKENS else "sequences"
    return Buffer(value, kind.dtype.value, rows, _columns(kind), slot)


def _lower_node(node: Node, graph: Graph, tensors: dict[str, Tensor], pack: Pack) -> Step:
    packers = PACKERS.get(node.op)
    if packers is None:
        raise GraphError(f"node {node.name!r}: the cpu target has no kernel for op {node.op!r}")
    for value, packer in zip(node.inputs, packers, strict=False):
        if packer is not None and value:
            if value not in graph.constants:
                raise GraphError(f"node {node.name!r}: operand {value!r} must be a constant")
            if value not in tensors:
                tensors[value] = pack(packer, graph.constants[value])
    inputs = list(node.inputs)
    attributes: dict[str, Attribute] = dict(node.attributes)
    # A buffer has a dtype of its own: the program need not say it twice.
    attributes.pop("out_dtype", None)
    if node.op == "linear_int8":
        columns = _column_scales(node, graph)
        tensors.update((name, pack(packer, constant)) for name, packer, constant in columns)
        inputs[1:5] = [*_row_scales(node, graph), inputs[3], *(name for name, *_ in columns)]
        attributes["weight_bits"] = weight_bits(graph.constants[node.inputs[3]])
    if node.op == "embed":
        # Padding added rows that no id may name.
        for key, operand in (("word_rows", 3), ("position_rows", 5), ("token_type_rows", 6)):
            attributes[key] = len(graph.constants[node.inputs[operand]].array)
    return Step(node.op, node.name, tuple(inputs), node.outputs, attributes)


def _row_scales(node: Node, graph: Graph) -> tuple[str, ...]:
    """Scales and zero points of the rows of an 8-bit input; nothing if they share one."""
    return ("", "") if node.inputs[1] in graph.constants else node.inputs[1:3]


def _column_scales(node: Node, graph: Graph) -> tuple[tuple[str, Packer, Constant], ...]:
    """Scales and sums of an 8-bit weight's columns by name; times those of the rows, if they share one."""
    scale, zero_point, weight, weight_scale = node.inputs[1:5]
    if scale not in graph.constants:
        return (
            (weight_scale, pack_vector, graph.constants[weight_scale]),
            (f"{weight}.column_sum", column_sums, graph.constants[weight]),
        )
    scales, zero_points, numbers, weight_scales = (
        graph.constants[name].array for name in (scale, zero_point, weight, weight_scale)
    )
    shift = zero_points * numbers.sum(axis=1, dtype=np.int32)
    return (
        (f"{node.name}.column_scale", pack_vector, Constant(DType.F32, scales * weight_scales)),
        (f"{node.name}.column_shift", pack_vector, Constant(DType.I32, shift)),
    )
