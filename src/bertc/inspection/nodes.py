"""The facts of each node of a graph: what it reads, computes in, costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from bertc.inspection.facts import NodeFacts, Value
from bertc.inspection.place import place_of
from bertc.ir.graph import DType, Graph, Node, TensorType
from bertc.ir.ops import OPS
from bertc.ir.reference import TABLES
from bertc.ir.verifier import verify
from bertc.ports import SELECTED, SEQUENCES, TOKENS
from bertc.precision import BF16, FP16, FP32, INT8

_NAMES = {DType.F32: FP32, DType.F16: FP16, DType.BF16: BF16, DType.I8: INT8}
_FORMS = {op: form for row in OPS.values() for form, op in row.forms.items() if op != row.name}
"""The precision of each op that is another one's form in it."""
_OF_QUANTIZATION = frozenset(
    ("multiplier", "offset", "first_offset", "last_offset", "first_bias", "last_bias", "static", "word_scale")
)
"""The packed operands that quantization adds: scales and shifts are no parameters of the model."""


class Size(NamedTuple):
    """The size of a constant."""

    parameters: int
    """The number of its elements, 0 if it is none of the model's tensors."""
    bytes: int


class Choice(NamedTuple):
    """What is known of a node's precision besides the graph."""

    precision: str = ""
    """The precision, "" for what the graph says."""
    why: str = ""


def sizes_of(graph: Graph) -> dict[str, Size]:
    """Return the size of each constant that nodes read, by its name."""
    sizes: dict[str, Size] = {}
    for node in graph.nodes:
        packed = {each.name for each in OPS[node.op].operands if each.packing} - _OF_QUANTIZATION
        for operand, value in node.inputs.items():
            if value in graph.constants:
                constant = graph.constants[value]
                count = math.prod(constant.source.shape)
                sizes[value] = Size(count if operand in packed else 0, count * constant.dtype.itemsize)
    return sizes


def describe_nodes(
    graph: Graph, batch: int, length: int, *, choices: Mapping[str, Choice], times: Mapping[str, float]
) -> tuple[NodeFacts, ...]:
    """Return the facts of the nodes of a graph of any stage for ``batch`` sequences of ``length`` tokens.

    ``choices`` has what is known of precisions by node, ``times`` the milliseconds and, as "", those of all.
    """
    types, sizes = verify(graph), sizes_of(graph)
    rows = {TOKENS: batch * length, SEQUENCES: batch, SELECTED: batch}

    def describe(node: Node) -> NodeFacts:
        op, place = OPS[node.op], place_of(node)
        choice = choices.get(node.name, Choice())
        operands = {operand: types[value] for operand, value in node.inputs.items()}
        read = [sizes[value] for value in dict.fromkeys(node.inputs.values()) if value in sizes]
        milliseconds = times.get(node.name)
        return NodeFacts(
            name=node.name,
            op=node.op,
            place=place.name,
            dtype=choice.precision or _dtype(node, operands),
            why=place.why or choice.why,
            inputs=node.inputs,
            outputs=tuple(value_of(name, types[name]) for name in node.outputs),
            attributes=node.attributes,
            parameters=sum(size.parameters for size in read),
            bytes=sum(size.bytes for size in read),
            operations=round(
                rows[str(types[node.outputs[0]].shape[0])]
                * op.work(operands, op.complete(node.attributes), length)
            )
            if op.work
            else 0,
            milliseconds=milliseconds,
            share=None if milliseconds is None else milliseconds / times[""],
        )

    return tuple(map(describe, graph.nodes))


def value_of(name: str, kind: TensorType) -> Value:
    """Return a value of a type."""
    return Value(name, kind.dtype.value, kind.shape)


def _dtype(node: Node, operands: Mapping[str, TensorType]) -> str:
    if node.op in _FORMS:
        return _FORMS[node.op]
    if node.op == "embed":
        return _NAMES[next(operands[table].dtype for table in TABLES if table in operands)]
    computes = str(node.attributes.get("compute_dtype", DType.F32.value))
    return FP32 if computes == DType.F32 else computes
