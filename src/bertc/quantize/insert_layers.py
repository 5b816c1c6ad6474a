"""Puts rounded layers, and the changes of their inputs, into a fused graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertc.ir.formulas import PLACES
from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.passes.rewrite import count_uses
from bertc.ports import CU_SEQLENS
from bertc.quantize.constants import RoundedWeight
from bertc.quantize.layers import RoundedLayer
from bertc.quantize.smooth import ChannelAffine

Array = np.ndarray[Any, Any]


def insert_layers(
    graph: Graph, layers: Mapping[str, RoundedLayer], affines: Mapping[str, ChannelAffine]
) -> tuple[Graph, dict[str, RoundedWeight]]:
    """Return the fused graph with the layers' biases, and the rounded weights by their constant's name.

    ``layers`` goes by node name; nodes that share a layer share its constants. ``affines`` has changes of
    edges (value names) that those layers read: a ``channel_affine`` makes the value :func:`smoothed_name`
    of each.
    """
    constants, rounded = dict(graph.constants), dict[str, RoundedWeight]()
    uses, sharers = count_uses(graph), Counter(map(id, layers.values()))
    suffixes, vectors, inserted = dict[int, str](), dict[int, dict[str, str]](), set[str]()
    nodes: list[Node] = []
    for node in graph.nodes:
        layer, edge = layers.get(node.name), node["x"]
        if layer is None:
            nodes.append(node)
            continue
        suffix = suffixes.setdefault(id(layer), f":{node.name}")
        # What others read too stays as it is for them. So a module whose users differ in precision, by a
        # fallback, is stored in each: int8 and int7 are rounded apart, so that each uses all of its bits.
        own = {
            operand: node[operand] if uses[node[operand]] == sharers[id(layer)] else node[operand] + suffix
            for operand in ("weight", "bias")
        }
        constants[own["weight"]] = graph.constants[node["weight"]]
        constants[own["bias"]] = Constant(DType.F32, layer.bias)
        rounded[own["weight"]] = layer.weight
        if edge in affines:
            own["x"] = smoothed_name(edge)
        if edge in affines and edge not in inserted:
            inserted.add(edge)
            change = _vectors(affines[edge])
            # Edges of one plan have one change, whose vectors are stored once.
            names = vectors.setdefault(id(affines[edge]), {name: f"{own['x']}.{name}" for name in change})
            constants.update({names[name]: Constant(DType.F32, vector) for name, vector in change.items()})
            inputs = {"x": edge, **names, **_with_places(affines[edge].places)}
            order = affines[edge].hadamard
            attributes = {"hadamard": order} if order != 1 else {}
            nodes.append(Node(own["x"], "channel_affine", inputs, (own["x"],), attributes))
        for place, bias in layer.place_biases.items():
            own[f"{PLACES[place]}_bias"] = name = f"{own['bias']}.{PLACES[place]}"
            constants[name] = Constant(DType.F32, bias)
        nodes.append(node.with_inputs(**own, **_with_places(layer.place_biases)))
    return graph.with_nodes(nodes, constants=constants), rounded


def _vectors(affine: ChannelAffine) -> dict[str, Array]:
    """Return the vectors of a change that change anything, by operand."""
    places = {f"{PLACES[place]}_offset": offset for place, offset in affine.places.items()}
    shared = {"multiplier": (affine.multiplier, 1), "offset": (affine.offset, 0)}
    return {name: vector for name, (vector, none) in shared.items() if (vector != none).any()} | places


def _with_places(places: Mapping[int, Array]) -> dict[str, str]:
    return {CU_SEQLENS: CU_SEQLENS} if places else {}


def smoothed_name(edge: str) -> str:
    """Return the name of the changed value of an edge, which is quantized instead."""
    return f"{edge}.smooth"
