"""A sum after a linear layer moves into the layer's epilogue, as its residual."""

from __future__ import annotations

import dataclasses

from bertc.ir.graph import Graph, Node
from bertc.ir.ops import OPS
from bertc.passes.rewrite import count_uses, rewrite


def fuse_linear_residual(graph: Graph) -> Graph:
    """Turn ``add(linear(x), r)`` into ``linear(x, residual=r)``, with the operands in either order."""
    producers, uses = graph.producers(), count_uses(graph)
    replaced: dict[str, tuple[Node, ...]] = {}
    for node in graph.nodes:
        if node.op != "add":
            continue
        for value, residual in ((node["a"], node["b"]), (node["b"], node["a"])):
            linear = producers.get(value)
            if linear is None or not OPS[linear.op].takes("residual"):
                continue
            if linear["residual"] or linear.attributes.get("gated") or uses[value] > 1:
                continue
            # At the place of the sum: the residual may be computed after the linear layer. The sum keeps
            # its name, which may be that of a hidden state.
            fused = dataclasses.replace(linear.with_inputs(residual=residual), outputs=node.outputs)
            replaced[linear.name] = ()
            replaced[node.name] = (fused,)
            break
    return rewrite(graph, replaced)
