"""The driver of quantization: fused graph, recipe and statistics -> typed graph.

Each method has its own file. What is chosen for a layer depends on the layer and its input alone, so it is
chosen once, however many variants of the model an accuracy budget tries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.errors import RecipeError
from bertc.ir.graph import Graph, Node
from bertc.quantize.apply import apply_precisions
from bertc.quantize.edges import EdgePlan, plan_edge
from bertc.quantize.fold_values import find_value_projections, fold_into_rounded, fold_values
from bertc.quantize.insert_layers import changed, insert_layers
from bertc.quantize.layers import RoundedLayer, round_layer
from bertc.quantize.precisions import WEIGHT_BITS
from bertc.quantize.statistics import Statistics
from bertc.recipe import Recipe

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Quantized:
    """One variant of a model."""

    graph: Graph
    """Stage "typed"."""
    reference: Graph
    """Stage "fused", fp32: values that both graphs have by name mean the same in both."""
    plans: Mapping[str, EdgePlan]
    """Edge (value name) -> what was chosen for it; empty without statistics."""


class Quantizer:
    """Makes typed graphs of one fused graph: one for each mapping of nodes to precisions."""

    def __init__(self, graph: Graph, recipe: Recipe, statistics: Statistics | None) -> None:
        """``statistics`` are of all edges that 8-bit layers may read; None if there is none, or no need."""
        self._graph, self._recipe, self._statistics = graph, recipe, statistics
        self._producers = graph.producers()
        self._projections = find_value_projections(graph)
        self._plans: dict[tuple[Any, ...], EdgePlan] = {}
        self._layers: dict[tuple[Any, ...], RoundedLayer] = {}

    def layers(self, precisions: Mapping[str, str]) -> list[Node]:
        """The linear nodes that are 8 bits or less in the variant with these precisions."""
        return [
            node for node in self._graph.nodes if node.op == "linear" and precisions[node.name] in WEIGHT_BITS
        ]

    def __call__(
        self, precisions: Mapping[str, str], advance: Callable[[int], None] = lambda _: None
    ) -> Quantized:
        """The variant with these precisions. ``advance`` is told when a layer is done.

        Raises ``InputError`` if statistics are of another model, ``RecipeError`` if some are needed.
        """
        nodes = self.layers(precisions)
        if nodes and self._statistics is None and self._recipe.calibrates:
            raise RecipeError(
                "this recipe calibrates: give it statistics, or use the preset round-to-nearest"
            )
        plans: dict[str, EdgePlan] = {}
        layers: dict[str, RoundedLayer] = {}
        for edge, readers in _by_input(nodes).items():
            if self._statistics is not None:
                plans[edge] = self._choose_plan(edge, readers, precisions)
            for node in readers:
                layers[node.name] = self._layer(node, precisions, plans)
                advance(1)
        affines = {edge: plan.affine for edge, plan in plans.items() if plan.affine is not None}
        folded = {edge: affines.pop(edge) for edge in self._projections if edge in affines}
        for edge, affine in folded.items():
            projection = self._projections[edge]
            if projection in layers:
                layers[projection] = fold_into_rounded(layers[projection], affine)
        reference = fold_values(self._graph, folded)
        draft, rounded = insert_layers(reference, layers, affines)
        static = {
            changed(edge) if edge in affines else edge: plan.static
            for edge, plan in plans.items()
            if plan.static is not None
        }
        graph = apply_precisions(draft, precisions, rounded, static)
        return Quantized(graph, reference, MappingProxyType(plans))

    def _choose_plan(self, edge: str, readers: list[Node], precisions: Mapping[str, str]) -> EdgePlan:
        """Where layers of several precisions read an edge, it fits the fewest bits."""
        bits = min(WEIGHT_BITS[precisions[node.name]] for node in readers)
        key = (edge, bits, *(node.name for node in readers))
        if key not in self._plans:
            self._plans[key] = self._plan(edge, readers, bits)
        return self._plans[key]

    def _plan(self, edge: str, readers: list[Node], bits: int) -> EdgePlan:
        assert self._statistics is not None
        weight = np.concatenate([self._weight_and_bias(node)[0] for node in readers])
        statistics = self._statistics.of(edge, weight.shape[1])
        return plan_edge(statistics, weight, bits, self._recipe, self._producers[edge])

    def _layer(
        self, node: Node, precisions: Mapping[str, str], plans: Mapping[str, EdgePlan]
    ) -> RoundedLayer:
        bits, plan = WEIGHT_BITS[precisions[node.name]], plans.get(node["x"])
        key = (node.name, bits, id(plan))
        if key not in self._layers:
            self._layers[key] = round_layer(
                *self._weight_and_bias(node),
                plan,
                self._recipe.weights,
                bits,
                with_bias_correction=self._recipe.bias_correction,
            )
        return self._layers[key]

    def _weight_and_bias(self, node: Node) -> tuple[Array, Array]:
        weight, bias = (self._graph.constants[node[name]].array for name in ("weight", "bias"))
        return weight, bias


def _by_input(nodes: list[Node]) -> dict[str, list[Node]]:
    found: dict[str, list[Node]] = {}
    for node in nodes:
        found.setdefault(node["x"], []).append(node)
    return found
