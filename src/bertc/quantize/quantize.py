"""Drives quantization: makes typed graphs of a fused graph, a recipe and statistics.

Each method has its own file. What is chosen for a layer depends on the layer and its input alone, so it is
chosen once, however many variants of the model an accuracy budget tries.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.errors import RecipeError
from bertc.ir.formulas import FIRST
from bertc.ir.graph import Graph, Node
from bertc.precision import WEIGHT_BITS
from bertc.quantize.apply import apply_precisions
from bertc.quantize.edges import EdgePlan, heads_of_queries_and_values, plan_edge
from bertc.quantize.fold_values import (
    change_of_values,
    find_projections,
    find_value_projections,
    fold_into_rounded,
    fold_values,
)
from bertc.quantize.insert_layers import insert_layers, smoothed_name
from bertc.quantize.layers import RoundedLayer, round_layer
from bertc.quantize.move_channels import move_change, move_channels, move_rows, order_of_rows
from bertc.quantize.smooth import ChannelAffine
from bertc.quantize.statistics import EdgeStatistics, Statistics
from bertc.recipe import Recipe

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Quantized:
    """A variant of a model, its nodes in certain precisions."""

    graph: Graph
    """The graph of stage "typed"."""
    reference: Graph
    """The fp32 graph of stage "fused": values that both graphs have by name mean the same in both."""
    plans: Mapping[str, EdgePlan]
    """The plan of each edge, by value name: one for all inputs of a shared layer; empty if not calibrated."""


class Quantizer:
    """Makes typed graphs of one fused graph, one for each mapping of nodes to precisions."""

    def __init__(self, graph: Graph, recipe: Recipe, statistics: Statistics | None) -> None:
        """Take statistics of all edges that 8-bit layers may read; None if there are none, or no need."""
        self._graph, self._recipe, self._statistics = graph, recipe, statistics
        self._producers = graph.producers()
        self._projections = find_projections(graph)
        self._values = find_value_projections(graph)
        self._plans: dict[tuple[Any, ...], EdgePlan] = {}
        self._layers: dict[tuple[Any, ...], RoundedLayer] = {}
        self._moved: dict[tuple[int, int], RoundedLayer] = {}

    def layers(self, precisions: Mapping[str, str]) -> list[Node]:
        """Return the linear nodes that are 8 bits or less in the variant with these precisions."""
        return [
            node for node in self._graph.nodes if node.op == "linear" and precisions[node.name] in WEIGHT_BITS
        ]

    def __call__(
        self, precisions: Mapping[str, str], advance: Callable[[int], None] = lambda _: None
    ) -> Quantized:
        """Return the variant with these precisions. ``advance`` is told when a layer is done.

        Raises ``InputError`` if statistics are of another model, ``RecipeError`` if some are needed.
        """
        nodes = self.layers(precisions)
        if nodes and self._statistics is None and self._recipe.calibrates:
            raise RecipeError(
                "this recipe calibrates: give it statistics, or use the preset round-to-nearest"
            )
        plans: dict[str, EdgePlan] = {}
        layers: dict[str, RoundedLayer] = {}
        for group in group_layers(nodes):
            plan = self._choose_plan(group, precisions)
            for node in group:
                if plan is not None:
                    plans[node["x"]] = plan
                layers[node.name] = self._layer(node, WEIGHT_BITS[precisions[node.name]], plan)
                advance(1)
        affines = {edge: plan.affine for edge, plan in plans.items() if plan.affine is not None}
        graph = self._move_channels(nodes, layers, affines)
        folded: dict[str, ChannelAffine] = {}
        for edge in self._values:
            if edge in affines:
                folded[edge], rest = affines.pop(edge).split()
                affines.update({edge: rest} if rest is not None else {})
        for edge, affine in folded.items():
            projection = self._values[edge]
            if projection in layers:
                change = change_of_values(self._producers[edge], affine)
                layers[projection] = fold_into_rounded(layers[projection], change)
        reference = fold_values(graph, folded)
        draft, rounded = insert_layers(reference, layers, affines)
        static = {
            smoothed_name(edge) if edge in affines else edge: plan.static
            for edge, plan in plans.items()
            if plan.static is not None
        }
        graph = apply_precisions(draft, precisions, rounded, static)
        return Quantized(graph, reference, MappingProxyType(plans))

    def _move_channels(
        self, nodes: Sequence[Node], layers: dict[str, RoundedLayer], affines: dict[str, ChannelAffine]
    ) -> Graph:
        """Return the graph with channels where rounded layers want them; also change what makes them."""
        orders: dict[str, Array] = {}
        for node in nodes:
            edge, order = node["x"], layers[node.name].order
            if order is None:
                continue
            orders[edge] = order
            if edge in affines:
                affines[edge] = move_change(affines[edge], order)
            projection = self._projections[edge]
            if projection in layers:
                layer = layers[projection]
                key = id(layer), id(order)
                if key not in self._moved:
                    rows = order_of_rows(self._producers[edge], len(layer.bias), order)
                    self._moved[key] = move_rows(layer, rows)
                layers[projection] = self._moved[key]
        return move_channels(self._graph, orders)

    def _choose_plan(self, group: Sequence[Node], precisions: Mapping[str, str]) -> EdgePlan | None:
        """Return the one plan for all inputs of a group, fitted to the fewest bits of its layers."""
        if self._statistics is None:
            return None
        bits = min(WEIGHT_BITS[precisions[node.name]] for node in group)
        key = (bits, *(node.name for node in group))
        if key not in self._plans:
            edges = dict.fromkeys(node["x"] for node in group)
            weights = {node["weight"]: self._weight_and_bias(node)[0] for node in group}
            weight = np.concatenate(list(weights.values()))
            found = [self._statistics.of(edge, weight.shape[1]) for edge in edges]
            seen = EdgeStatistics.merged(found)
            producers = [self._producers.get(edge) for edge in edges]
            # One plan for rows of tokens and of something else has no places.
            places = self._recipe.smoothing.place_shift and all(each.counts[FIRST] for each in found)
            self._plans[key] = plan_edge(seen, weight, bits, self._recipe, producers, by_place=places)
        return self._plans[key]

    def _layer(self, node: Node, bits: int, plan: EdgePlan | None) -> RoundedLayer:
        """Return the rounded layer: the same object for all nodes that share it."""
        key = (node["weight"], node["bias"], bits, id(plan))
        if key not in self._layers:
            producer = self._producers.get(node["x"])
            heads = heads_of_queries_and_values(producer) if node["x"] in self._projections else None
            self._layers[key] = round_layer(
                *self._weight_and_bias(node),
                plan,
                self._recipe.weights,
                bits,
                with_bias_correction=self._recipe.bias_correction,
                heads=heads,
            )
        return self._layers[key]

    def _weight_and_bias(self, node: Node) -> tuple[Array, Array]:
        weight, bias = (self._graph.constants[node[name]].array for name in ("weight", "bias"))
        return weight, bias


def group_layers(nodes: Sequence[Node]) -> list[list[Node]]:
    """Return the linear nodes in groups that have one plan, in order.

    In a group are nodes that read the same value, which is changed once for all of them, and nodes that read
    the same weights, as shared layers do, which are rounded once for all of their inputs.
    """
    groups: dict[str, list[Node]] = {}
    for node in nodes:
        names = node["x"], node["weight"]
        joined = {id(groups[name]): groups[name] for name in names if name in groups}
        group = [*itertools.chain(*joined.values()), node]
        groups.update((name, group) for each in group for name in (each["x"], each["weight"]))
    return list({id(group): group for group in groups.values()}.values())
