"""An activation after a linear layer moves into the layer's epilogue."""

from __future__ import annotations

from bertc.ir.graph import Graph, Node
from bertc.ir.ops import ACTIVATIONS
from bertc.passes.rewrite import count_uses, rewrite


def fuse_linear_activation(graph: Graph) -> Graph:
    """Turn ``gelu(linear(x))`` into ``linear(x, activation="gelu")``, and so every activation."""
    producers, uses = graph.producers(), count_uses(graph)
    replaced: dict[str, tuple[Node, ...]] = {}
    renamed = {}
    for node in graph.nodes:
        linear = producers.get(node["x"]) if node.op in ACTIVATIONS else None
        if linear is None or linear.attributes.get("activation") != "none" or linear["residual"]:
            continue
        if uses[linear.outputs[0]] > 1:
            continue
        # At the place of the activation, so that no value is used before it is there.
        replaced[linear.name] = ()
        replaced[node.name] = (linear.with_attributes(activation=node.op),)
        renamed[node.outputs[0]] = linear.outputs[0]
    return rewrite(graph, replaced, renamed=renamed)
