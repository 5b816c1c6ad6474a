"""Moves channels between two layers: exact, and it costs no time.

The channels between the two matrices of a feed-forward block, and those of attention's values within a head,
have no order of their own: rows of the layer that makes them move, and columns of the layer that reads them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.ir.graph import Constant, Graph, Node
from bertc.quantize.constants import RoundedWeight
from bertc.quantize.edges import heads_of_queries_and_values
from bertc.quantize.fold_values import find_projections
from bertc.quantize.layers import RoundedLayer
from bertc.quantize.smooth import ChannelAffine

Array = np.ndarray[Any, Any]


def move_channels(graph: Graph, orders: Mapping[str, Array]) -> Graph:
    """Return the same function, the channels of some values (by name) in other orders, int [channels].

    They are some that ``find_projections`` finds. Weights are moved where they are read.
    """
    producers, consumers, projections = graph.producers(), graph.consumers(), find_projections(graph)
    by_name, constants = {node.name: node for node in graph.nodes}, dict(graph.constants)
    for value, order in orders.items():
        projection, (reader,) = by_name[projections[value]], consumers[value]
        rows = order_of_rows(producers[value], graph.constants[projection["bias"]].source.shape[0], order)
        for name, axis, moved in (
            (projection["weight"], 0, rows),
            (projection["bias"], 0, rows),
            (reader["weight"], 1, order),
        ):
            constants[name] = dataclasses.replace(
                constants[name], source=_Moved(constants[name], moved, axis)
            )
    return dataclasses.replace(graph, constants=constants)


def order_of_rows(producer: Node, rows: int, order: Array) -> Array:
    """Return the order, int [rows], of the rows of the projection that makes what ``producer`` gives.

    Of queries and keys, which stay, and of the values behind them; of gates and values alike.
    """
    if producer.op == "attention":
        count, own = heads_of_queries_and_values(producer)
        size = len(order) // count
        values = order.reshape(own, count // own, size)[:, 0] % size + size * np.arange(own)[:, None]
        kept = rows - values.size
        return np.concatenate([np.arange(kept), kept + values.reshape(-1)])
    return np.concatenate([start + order for start in range(0, rows, len(order))])


def move_rows(layer: RoundedLayer, order: Array) -> RoundedLayer:
    """Return a rounded layer whose output channels are in another order."""
    return dataclasses.replace(
        layer,
        weight=RoundedWeight(layer.weight.numbers[order], layer.weight.scale[order]),
        bias=layer.bias[order],
        place_biases={place: bias[order] for place, bias in layer.place_biases.items()},
    )


def move_change(affine: ChannelAffine, order: Array) -> ChannelAffine:
    """Return the same change of a value whose channels are in another order."""
    places = {place: offset[order] for place, offset in affine.places.items()}
    return dataclasses.replace(
        affine, multiplier=affine.multiplier[order], offset=affine.offset[order], places=places
    )


@dataclass(frozen=True, eq=False)
class _Moved:
    """A constant, its rows or columns in another order, that is made where it is needed."""

    constant: Constant
    order: Array
    axis: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return tuple(self.constant.source.shape)

    def read(self) -> Array:
        """Return the elements in their order."""
        return self.constant.array.take(self.order, self.axis)
