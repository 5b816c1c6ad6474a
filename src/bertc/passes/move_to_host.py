"""A sum or an activation that is in no linear layer's epilogue runs on the host: no kernel does it alone."""

from __future__ import annotations

import dataclasses
import math
from types import MappingProxyType
from typing import Any

from bertc.ir.graph import Graph, Node
from bertc.ir.ops import ACTIVATIONS
from bertc.ir.verifier import verify
from bertc.passes.rewrite import rewrite
from bertc.ports import CU_SEQLENS, HOST, SELECTED, TOKENS
from bertc.primitives.region import LENGTH, Call, Literal, Region

_SIGMOID = ("sigmoid", "x0")
_TANH = math.sqrt(2.0 / math.pi)
_CUBED = ("mul", ("mul", ("mul", "x0", "x0"), "x0"), 0.044715)
_FORMULAS: dict[str, Any] = {
    "add": ("add", "x0", "x1"),
    "gelu": ("mul", ("mul", "x0", 0.5), ("add", ("erf", ("mul", "x0", math.sqrt(0.5))), 1.0)),
    "gelu_tanh": (
        "mul",
        ("mul", "x0", 0.5),
        ("add", ("tanh", ("mul", ("add", "x0", _CUBED), _TANH)), 1.0),
    ),
    "relu": ("relu", "x0"),
    "tanh": ("tanh", "x0"),
    "sigmoid": _SIGMOID,
    "silu": ("mul", "x0", _SIGMOID),
    "quick_gelu": ("mul", "x0", ("sigmoid", ("mul", "x0", 1.702))),
    "mish": ("mul", "x0", ("tanh", ("softplus", "x0"))),
    "log1p_relu": ("log", ("add", ("relu", "x0"), 1.0)),
}
"""What ops without a kernel compute, of primitives, operands and numbers."""


def move_to_host(graph: Graph) -> Graph:
    """Turn each sum and activation that other passes left into a step on the host."""
    left = [node for node in graph.nodes if node.op == "add" or node.op in ACTIVATIONS]
    if not left:
        return graph
    types = verify(graph, stages=("imported", "fused"))
    return rewrite(
        graph,
        {
            node.name: (_on_host(node, types[node.outputs[0]].shape),)
            for node in left
            if types[node.outputs[0]].shape[0] != SELECTED
        },
    )


def _on_host(node: Node, shape: tuple[int | str, ...]) -> Node:
    rows, columns = shape
    operands = dict(zip(("x0", "x1"), node.inputs.values(), strict=False))
    sizes = (LENGTH if rows == TOKENS else 1, columns)
    constants: dict[str, Literal] = {}
    calls: list[Call] = []

    def write(formula: Any) -> str:
        if isinstance(formula, str):
            return formula
        if isinstance(formula, float):
            name = f"c{len(constants)}"
            constants[name] = Literal("float32", (), (formula,))
            return name
        inputs = tuple(map(write, formula[1:]))
        source = f"{node.name!r} ({node.op})"
        calls.append(Call(formula[0], inputs, f"v{len(calls)}", MappingProxyType({}), source))
        return calls[-1].output

    output = write(_FORMULAS[node.op])
    reason = f"bertc has no kernel for {node.op} that is not part of a linear layer"
    region = Region(dict.fromkeys(operands, sizes), constants, tuple(calls), output, reason)
    return dataclasses.replace(
        node,
        op=HOST,
        inputs=MappingProxyType({**operands, "cu_seqlens": CU_SEQLENS}),
        attributes=MappingProxyType({"region": region.to_json(), "rows": rows}),
    )
