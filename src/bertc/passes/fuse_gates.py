"""A linear layer and the one that gates it become one layer, whose product is written half as wide."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping

import numpy as np

from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.passes.rewrite import common_parent, count_uses, rewrite


def fuse_gates(graph: Graph) -> Graph:
    """Turn ``multiply(linear(x, activation), linear(x))`` into ``linear(x, gated=1)``, in either order.

    The weights are stacked, the gate first: a row's result does not depend on the others.
    """
    producers, uses = graph.producers(), count_uses(graph)
    replaced: dict[str, tuple[Node, ...]] = {}
    constants: dict[str, Constant] = {}
    names = {node.name for node in graph.nodes}
    for node in graph.nodes:
        if node.op != "multiply":
            continue
        gate, value = producers.get(node["a"]), producers.get(node["b"])
        if not (_match(gate, uses) and _match(value, uses)) or gate is None or value is None:
            continue
        if value.attributes["activation"] != "none":
            gate, value = value, gate
        if value.attributes["activation"] != "none" or gate["x"] != value["x"] or gate is value:
            continue
        name = _new_name(f"{common_parent([gate.name, value.name])}.gated".lstrip("."), names)
        names.add(name)
        operands = {}
        for operand in ("weight", "bias"):
            arrays = [graph.constants[each[operand]].array for each in (gate, value)]
            operands[operand] = f"{name}.{operand}"
            constants[operands[operand]] = Constant(DType.F32, np.concatenate(arrays))
        fused = dataclasses.replace(gate.with_inputs(**operands), name=name, outputs=node.outputs)
        replaced |= {gate.name: (), value.name: (), node.name: (fused.with_attributes(gated=1),)}
    return rewrite(graph, replaced, constants=constants)


def _new_name(base: str, taken: Collection[str]) -> str:
    numbered = (f"{base}.{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([base], numbered) if name not in taken)


def _match(node: Node | None, uses: Mapping[str, int]) -> bool:
    """Return whether it is a linear layer without a residual, which nothing else reads."""
    return node is not None and node.op == "linear" and not node["residual"] and uses[node.outputs[0]] == 1
