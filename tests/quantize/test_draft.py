"""What a recipe will give is known before calibration: the same ops in the same dtypes."""

from __future__ import annotations

from typing import Any

import pytest

from bertc.ir import interpreter
from bertc.ir.graph import Graph
from bertc.ir.verifier import verify
from bertc.passes import fuse
from bertc.quantize.calibrate import calibrate, quantized_edges
from bertc.quantize.draft import draft
from bertc.quantize.precisions import choose_precisions
from bertc.quantize.quantize import Quantizer
from bertc.recipe import Recipe
from tests.support.tiny_graphs import bert_graph
from tests.support.tiny_models import packed_inputs

FUSED = fuse(bert_graph())
BATCHES = [packed_inputs([40, 9, 60], seed=seed) for seed in range(3)]


def _program(graph: Graph) -> list[Any]:
    """Names, ops and dtypes; a conversion is named after the value that it reads, changed or not."""
    types = verify(graph)
    return [
        (node.name.replace(".smooth.", "."), node.op, [types[value].dtype for value in node.outputs])
        for node in graph.nodes
    ]


MODES = [
    {"mode": "dynamic"},
    {"mode": "static"},
    {"mode": "mixed"},
    {"mode": "static", "granularity": "per_channel_group"},
    {"mode": "mixed", "granularity": "per_channel_group"},
]


@pytest.mark.parametrize("activations", MODES)
@pytest.mark.parametrize("smoothing", [{}, {"migration": None, "channel_shift": False}])
@pytest.mark.parametrize("bits", [7, 8])
def test_a_draft_has_the_ops_and_dtypes_of_the_calibrated_graph(
    activations: dict[str, Any], smoothing: dict[str, Any], bits: int
) -> None:
    recipe = Recipe.from_dict(
        {
            "activations": activations,
            "smoothing": smoothing,
            "weights": {"bits": bits},
            "exclude": ["encoder.layer.1.output.dense"],
        }
    )
    precisions = choose_precisions(FUSED, recipe)
    statistics = calibrate(FUSED, BATCHES, interpreter.run, quantized_edges(FUSED, precisions))
    expected = Quantizer(FUSED, recipe, statistics)(precisions).graph
    assert _program(draft(FUSED, recipe, precisions)) == _program(expected)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_draft_in_floating_point_is_the_graph_itself(dtype: str) -> None:
    recipe = Recipe(dtype=dtype)
    precisions = choose_precisions(FUSED, recipe)
    assert draft(FUSED, recipe, precisions).nodes == Quantizer(FUSED, recipe, None)(precisions).graph.nodes
