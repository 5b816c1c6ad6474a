"""Query, key and value projections become one matrix, and attention reads their one result."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.passes.rewrite import common_parent, count_uses, rewrite


def fuse_qkv(graph: Graph) -> Graph:
    """``attention(linear(x), linear(x), linear(x))`` -> ``attention_qkv(linear(x))``.

    The three weights [H, H] are stacked to [3H, H]: a row's result does not depend on the others.
    """
    producers, uses = graph.producers(), count_uses(graph)
    replaced: dict[str, tuple[Node, ...]] = {}
    constants: dict[str, Constant] = {}
    for attention in graph.nodes:
        projections = [producers.get(attention[operand]) for operand in ("query", "key", "value")]
        if attention.op != "attention" or not _match(projections, uses):
            continue
        found = [node for node in projections if node is not None]
        name = f"{common_parent([node.name for node in found])}.qkv".lstrip(".")
        operands = {operand: f"{name}.{operand}" for operand in ("weight", "bias")}
        for operand, value in operands.items():
            arrays = [graph.constants[node[operand]].array for node in found]
            constants[value] = Constant(DType.F32, np.concatenate(arrays))
        qkv = dataclasses.replace(found[0].with_inputs(**operands), name=name, outputs=(name,))
        fused = Node(
            attention.name,
            "attention_qkv",
            {"qkv": name, "cu_seqlens": attention["cu_seqlens"]},
            attention.outputs,
            MappingProxyType({**attention.attributes, "compute_dtype": "f32", "out_dtype": "f32"}),
        )
        replaced.update(dict.fromkeys((node.name for node in found), ()))
        replaced[attention.name] = (qkv, fused)
    return rewrite(graph, replaced, constants=constants)


def _match(projections: Sequence[Node | None], uses: Mapping[str, int]) -> bool:
    """Whether all three are plain linear layers of one value, read by nothing else."""
    sources = {node["x"] if node else None for node in projections}
    return len(sources) == 1 and all(
        node is not None
        and node.op == "linear"
        and node.attributes["activation"] == "none"
        and not node["residual"]
        and uses[node.outputs[0]] == 1
        for node in projections
    )
