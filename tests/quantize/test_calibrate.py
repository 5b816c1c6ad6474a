from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from bertc.passes import fuse
from bertc.quantize.calibrate import calibrate, quantized_edges
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Recipe
from tests.support.tiny_graphs import bert_graph
from tests.support.tiny_models import packed_inputs

Array = np.ndarray[Any, Any]
LAYER = "encoder.layer.0"
BATCHES = [packed_inputs([1, 5, 30], seed=1), packed_inputs([4, 4], seed=2)]


def test_edges_are_the_inputs_of_int8_layers_each_once() -> None:
    fused = fuse(bert_graph("classification", num_hidden_layers=1))
    exclude = Recipe(exclude=("pooler.dense",), nodes={"*.output.dense": "int7"})
    assert quantized_edges(fused, choose_precisions(fused, exclude)) == (
        "embeddings.LayerNorm",
        f"{LAYER}.attention.self",
        f"{LAYER}.attention.output.LayerNorm",
        f"{LAYER}.intermediate.dense",
    )


def test_calibration_sees_all_rows_of_all_batches() -> None:
    fused = fuse(bert_graph())
    edges = ("embeddings.LayerNorm", "pooler.first_token")
    tokens: list[int] = []
    found = calibrate(
        fused, BATCHES, interpreter.run, edges, provenance={"name": "random ids"}, on_batch=tokens.append
    )
    assert tokens == [36, 8]
    assert {edge: found.edges[edge].rows for edge in edges} == {edges[0]: 44, edges[1]: 5}
    assert found.provenance["name"] == "random ids"
    observed = fused.with_nodes(fused.nodes, outputs={edge: edge for edge in edges})
    rows = np.concatenate([interpreter.run(observed, batch)[edges[0]] for batch in BATCHES])
    np.testing.assert_array_equal(found.edges[edges[0]].sample, rows)


def test_what_else_is_watched_changes_nothing() -> None:
    fused = fuse(bert_graph())
    batches = [packed_inputs([60] * 12, seed=seed) for seed in range(2)]
    first, second = "embeddings.LayerNorm", f"{LAYER}.attention.output.LayerNorm"
    alone = calibrate(fused, batches, interpreter.run, (second,))
    both = calibrate(fused, batches, interpreter.run, (first, second))
    np.testing.assert_array_equal(alone.edges[second].sample, both.edges[second].sample)


def test_batches_are_streamed() -> None:
    """One batch is run before the next one is asked for."""
    fused = fuse(bert_graph())
    events: list[str] = []

    def batches() -> Any:
        for batch in BATCHES:
            events.append("read")
            yield batch

    def run(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
        events.append("run")
        return interpreter.run(graph, inputs)

    calibrate(fused, batches(), run, ("embeddings.LayerNorm",))
    assert events == ["read", "run"] * 2


def test_no_data_is_an_error_unless_nothing_is_to_be_watched() -> None:
    fused = fuse(bert_graph())
    with pytest.raises(InputError, match="calibration got no data"):
        calibrate(fused, [], interpreter.run, ("embeddings.LayerNorm",))
    assert not calibrate(fused, [], interpreter.run, ()).edges


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e16])
def test_activations_that_overflow_name_the_first_edge(value: float) -> None:
    fused = fuse(bert_graph())
    edges = ("embeddings.LayerNorm", f"{LAYER}.attention.self", f"{LAYER}.attention.output.LayerNorm")

    def run(graph: Graph, inputs: Mapping[str, Array]) -> dict[str, Array]:
        found = {name: array.copy() for name, array in interpreter.run(graph, inputs).items()}
        for edge in edges[1:]:
            found[edge][2, 3] = value
        return found

    with pytest.raises(InputError, match=f"calibration: {edges[1]} holds NaN or numbers beyond 1e"):
        calibrate(fused, BATCHES, run, edges)
