"""Puts rounded layers, and the changes of their inputs, into a fused graph."""

from __future__ import annotations

from collections.abc import Mapping

from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.passes.rewrite import count_uses
from bertc.quantize.constants import RoundedWeight
from bertc.quantize.layers import RoundedLayer
from bertc.quantize.smooth import ChannelAffine


def insert_layers(
    graph: Graph, layers: Mapping[str, RoundedLayer], affines: Mapping[str, ChannelAffine]
) -> tuple[Graph, dict[str, RoundedWeight]]:
    """The fused graph with the layers' biases, and the rounded weights by the name of their constant.

    ``layers`` goes by node name. ``affines`` has changes of edges (value names) that those layers read: a
    ``channel_affine`` makes the value :func:`changed` of each.
    """
    nodes: list[Node] = []
    constants, rounded = dict(graph.constants), dict[str, RoundedWeight]()
    uses, inserted = count_uses(graph), set[str]()
    for node in graph.nodes:
        layer = layers.get(node.name)
        if layer is None:
            nodes.append(node)
            continue
        edge = node["x"]
        # Constants that other nodes read too stay as they are for those.
        own = {
            operand: name if uses[name] == 1 else f"{name}:{node.name}"
            for operand, name in node.inputs.items()
            if operand in ("weight", "bias")
        }
        constants[own["weight"]] = graph.constants[node["weight"]]
        constants[own["bias"]] = Constant(DType.F32, layer.bias)
        rounded[own["weight"]] = layer.weight
        affine = affines.get(edge)
        if affine is not None and edge not in inserted:
            inserted.add(edge)
            vectors = {name: f"{changed(edge)}.{name}" for name in ("multiplier", "offset")}
            for name, vector in vectors.items():
                constants[vector] = Constant(DType.F32, getattr(affine, name))
            nodes.append(Node(changed(edge), "channel_affine", {"x": edge, **vectors}, (changed(edge),)))
        nodes.append(node.with_inputs(x=edge if affine is None else changed(edge), **own))
    return graph.with_nodes(nodes, constants=constants), rounded


def changed(edge: str) -> str:
    """The name of what is quantized instead of an edge."""
    return f"{edge}.smooth"
