"""Query, key and value projections become one matrix, and attention reads their one result.

Where something stands between a projection and attention, the three are put side by side.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Container, Mapping, Sequence

import numpy as np

from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.passes.rewrite import common_parent, count_uses, rewrite


def fuse_qkv(graph: Graph) -> Graph:
    """Turn ``attention(linear(x), linear(x), linear(x))`` into ``attention(qkv=linear(x))``.

    The three weights are stacked, [H, H] to [3H, H] where heads share no keys: a row's result does not
    depend on the others. Layers that share the three share what they become; it is named after their module.
    """
    producers, uses = graph.producers(), count_uses(graph)
    replaced: dict[str, tuple[Node, ...]] = {}
    constants: dict[str, Constant] = {}
    stacked: dict[tuple[str, ...], str] = {}
    for attention in graph.nodes:
        projections = [producers.get(attention[operand]) for operand in ("query", "key", "value")]
        if attention.op != "attention" or not attention["query"]:
            continue
        if not _match(projections, uses):
            replaced[attention.name] = _side_by_side(attention)
            continue
        found = [node for node in projections if node is not None]
        name = f"{common_parent([node.name for node in found])}.qkv".lstrip(".")
        operands = {}
        for operand in ("weight", "bias"):
            names = tuple(node[operand] for node in found)
            if names not in stacked:
                stacked[names] = _new_name(names, operand, {*graph.constants, *constants})
                arrays = [graph.constants[each].array for each in names]
                constants[stacked[names]] = Constant(DType.F32, np.concatenate(arrays))
            operands[operand] = stacked[names]
        qkv = dataclasses.replace(found[0].with_inputs(**operands), name=name, outputs=(name,))
        fused = attention.with_inputs(query="", key="", value="", qkv=name)
        replaced.update(dict.fromkeys((node.name for node in found), ()))
        replaced[attention.name] = (qkv, fused)
    return rewrite(graph, replaced, constants=constants)


def _side_by_side(attention: Node) -> tuple[Node, ...]:
    """Return the steps that put queries, keys and values side by side, and attention that reads them."""
    queries_keys, qkv = (f"{attention.name}.{name}" for name in ("query_key", "qkv"))
    return (
        Node(queries_keys, "concat", {"a": attention["query"], "b": attention["key"]}, (queries_keys,)),
        Node(qkv, "concat", {"a": queries_keys, "b": attention["value"]}, (qkv,)),
        attention.with_inputs(query="", key="", value="", qkv=qkv),
    )


def _new_name(names: Sequence[str], operand: str, taken: Container[str]) -> str:
    """Return ``a.b.qkv.weight`` for ``a.b.query.weight`` and so on; numbered if it is taken."""
    base = f"{common_parent(names)}.qkv.{operand}".lstrip(".")
    numbered = (f"{base}.{number}" for number in itertools.count(2))
    return next(name for name in itertools.chain([base], numbered) if name not in taken)


def _match(projections: Sequence[Node | None], uses: Mapping[str, int]) -> bool:
    """Return whether all three are plain linear layers of one value, read by nothing else."""
    sources = {node["x"] if node else None for node in projections}
    return len(sources) == 1 and all(
        node is not None
        and node.op == "linear"
        and node.attributes["activation"] == "none"
        and not node["residual"]
        and uses[node.outputs[0]] == 1
        for node in projections
    )
