"""The typed graph that a recipe will give, before anything was calibrated.

Its ops and dtypes are those of the real one; numbers that calibration chooses are others.
"""

from __future__ import annotations

from collections.abc import Mapping

from bertc.ir.graph import Graph
from bertc.precision import WEIGHT_BITS
from bertc.quantize.apply import apply_precisions
from bertc.quantize.constants import StaticScale
from bertc.quantize.edges import is_smoothed, is_static_edge
from bertc.quantize.fold_values import find_value_projections
from bertc.quantize.quantize import group_layers
from bertc.recipe import Recipe

_ANY = StaticScale(1.0, 0)
"""A scale that stands for one of calibration."""


def draft(graph: Graph, recipe: Recipe, precisions: Mapping[str, str]) -> Graph:
    """Return the typed graph of a fused one, its weights rounded to nearest, without calibration.

    Nodes are in the precisions that ``choose_precisions`` names. Raises ``RecipeError`` for a table that
    fp16 cannot hold, ``GraphError`` if the graph is not fused.
    """
    producers, folded = graph.producers(), find_value_projections(graph)
    layers = [
        node for node in graph.nodes if node.op == "linear" and precisions.get(node.name) in WEIGHT_BITS
    ]
    by_groups = recipe.activations.granularity == "per_channel_group"
    static: dict[str, StaticScale] = {}
    for group in group_layers(layers):
        makers = [producers[node["x"]] for node in group]
        if not all(is_static_edge(maker, recipe) for maker in makers):
            continue
        changed = by_groups or is_smoothed(makers, recipe)
        # A value that is changed before it is quantized is another one, unless the change was folded away.
        static.update((node["x"], _ANY) for node in group if not changed or node["x"] in folded)
    return apply_precisions(graph, precisions, static=static)
