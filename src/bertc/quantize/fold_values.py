"""Folds changes of attention's output and of gated values into the layers that make them: they cost no time.

Attention's output is a mean of value rows, with weights that sum to one. So a channel of it is scaled and
shifted by scaling and shifting that channel of all values: by rows of the value projection and its bias
(as in Outlier Suppression+, arXiv:2304.09145, sec. 4.1).

Heads that share values share their changes.

A gated layer's output is a gate times a value: it is scaled, not shifted, by the values' rows and biases.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from bertc.ir.graph import Constant, DType, Graph, Node
from bertc.passes.rewrite import count_uses
from bertc.quantize.constants import RoundedWeight
from bertc.quantize.edges import heads_of_queries_and_values
from bertc.quantize.layers import RoundedLayer
from bertc.quantize.smooth import ChannelAffine

Array = np.ndarray[Any, Any]


def find_value_projections(graph: Graph) -> dict[str, str]:
    """Return the outputs of attentions and gated layers, each with the linear node that makes its values.

    Only such as :func:`find_projections` finds.
    """
    producers, found = graph.producers(), find_projections(graph)
    return {value: name for value, name in found.items() if _makes_values(producers[value])}


def find_projections(graph: Graph) -> dict[str, str]:
    """Return outputs of attentions and of linear nodes, each with the linear node that makes its channels.

    Only where one linear node reads the output, nothing else the projection, and no other node the
    constants of either.
    """
    producers, consumers, uses = graph.producers(), graph.consumers(), count_uses(graph)
    found = {}
    for node in graph.nodes:
        readers = consumers.get(node.outputs[0], [])
        projection = node if node.op == "linear" else _projection(node, producers)
        if projection is None or len(readers) != 1 or readers[0].op != "linear":
            continue
        reader = readers[0]
        made = {node.outputs[0], projection.outputs[0]}
        own = (*made, *_weight_and_bias(projection), *_weight_and_bias(reader))
        if not projection["residual"] and all(uses[value] == 1 for value in own):
            found[node.outputs[0]] = projection.name
    return found


def _makes_values(node: Node) -> bool:
    return node.op == "attention" or bool(node.attributes.get("gated"))


def _projection(node: Node, producers: Mapping[str, Node]) -> Node | None:
    """Return the linear node whose last rows make the values of attention or of a gated layer."""
    if node.attributes.get("gated"):
        return node
    made = producers[node["qkv"]] if node.op == "attention" else None
    return made if made and made.op == "linear" and made.attributes["activation"] == "none" else None


def fold_values(graph: Graph, affines: Mapping[str, ChannelAffine]) -> Graph:
    """Return the same function, with some outputs (by value name) changed by an affine.

    They are some that :func:`find_value_projections` finds.
    """
    producers, consumers = graph.producers(), graph.consumers()
    constants = dict(graph.constants)
    for value, affine in affines.items():
        projection, (reader,) = _projection(producers[value], producers), consumers[value]
        if projection is None:
            raise ValueError(f"{value} is made by no projection of values")
        weight, bias = (graph.constants[name].array for name in _weight_and_bias(projection))
        multiplier, offset = _of_all_rows(len(bias), change_of_values(producers[value], affine))
        changed = weight * multiplier[:, None], bias * multiplier + offset
        constants.update(_constants(_weight_and_bias(projection), changed))
        weight, bias = (graph.constants[name].array for name in _weight_and_bias(reader))
        changed = affine.weight(weight), affine.bias(weight, bias)
        constants.update(_constants(_weight_and_bias(reader), changed))
    return dataclasses.replace(graph, constants=constants)


def change_of_values(node: Node, affine: ChannelAffine) -> ChannelAffine:
    """Return the change of the values that changes the output of a node, which makes it of them.

    Heads that share values are changed alike (``Rounding.alike``).
    """
    heads, own = heads_of_queries_and_values(node)
    multiplier, offset = (
        each.reshape(own, heads // own, -1)[:, 0].reshape(-1) for each in (affine.multiplier, affine.offset)
    )
    return ChannelAffine(multiplier, offset, affine.alpha)


def fold_into_rounded(projection: RoundedLayer, affine: ChannelAffine) -> RoundedLayer:
    """Return a rounded projection with its values changed, by :func:`change_of_values`: its integers stay."""
    multiplier, offset = _of_all_rows(len(projection.bias), affine)
    weight = RoundedWeight(projection.weight.numbers, projection.weight.scale * multiplier)
    places = {place: bias * multiplier + offset for place, bias in projection.place_biases.items()}
    return dataclasses.replace(
        projection, weight=weight, bias=projection.bias * multiplier + offset, place_biases=places
    )


def _of_all_rows(rows: int, affine: ChannelAffine) -> tuple[Array, Array]:
    """Return the change of all rows: of queries and keys, or gates, which stay, and of values."""
    others = rows - len(affine.multiplier)
    ones, zeros = np.ones(others, np.float32), np.zeros(others, np.float32)
    return np.concatenate([ones, affine.multiplier]), np.concatenate([zeros, affine.offset])


def _weight_and_bias(linear: Node) -> tuple[str, str]:
    return linear["weight"], linear["bias"]


def _constants(names: tuple[str, ...], arrays: tuple[Array, ...]) -> dict[str, Constant]:
    return {name: Constant(DType.F32, array) for name, array in zip(names, arrays, strict=True)}
