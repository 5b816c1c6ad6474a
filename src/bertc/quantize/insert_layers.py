"""Puts rounded layers, and the changes of their inputs, into a fused graph."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.passes.rewrite import count_uses
from bertc.quantize.constants import RoundedWeight
from bertc.quantize.layers import RoundedLayer
from bertc.quantize.smooth import ChannelAffine


def insert_layers(
    graph: Graph, layers: Mapping[str, RoundedLayer], affines: Mapping[str, ChannelAffine]
) -> tuple[Graph, dict[str, RoundedWeight]]:
    """Return the fused graph with the layers' biases, and the rounded weights by their constant's name.

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
        edge, weight, bias, residual = node.inputs
        # Constants that other nodes read too stay as they are for those.
        own = [name if uses[name] == 1 else f"{name}:{node.name}" for name in (weight, bias)]
        constants[own[0]] = graph.constants[weight]
        constants[own[1]] = Constant(DType.F32, layer.bias)
        rounded[own[0]] = layer.weight
        affine = affines.get(edge)
        if affine is not None and edge not in inserted:
            inserted.add(edge)
            vectors = {
                f"{changed(edge)}.multiplier": Constant(DType.F32, affine.multiplier),
                f"{changed(edge)}.offset": Constant(DType.F32, affine.offset),
            }
            constants.update(vectors)
            nodes.append(Node(changed(edge), "channel_affine", (edge, *vectors), (changed(edge),)))
        x = edge if affine is None else changed(edge)
        nodes.append(dataclasses.replace(node, inputs=(x, *own, residual)))
    return graph.with_nodes(nodes, constants=constants), rounded


def changed(edge: str) -> str:
    """Return the name of what is quantized instead of an edge."""
    return f"{edge}.smooth"
