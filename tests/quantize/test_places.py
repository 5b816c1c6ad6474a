"""The first and the last token may have a shift of their own: exact for any input, chosen where it pays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertc.compiler.edges import edge_ranges
from bertc.errors import ArtifactError, GraphError
from bertc.ir import interpreter, reference
from bertc.ir.formulas import FIRST, LAST, OTHER, token_places
from bertc.ir.graph import Graph
from bertc.ir.verifier import verify
from bertc.lowering.lower import lower
from bertc.quantize.describe import describe
from bertc.quantize.places import choose_places
from bertc.quantize.smooth import Rounding, choose_affine
from bertc.quantize.statistics import EdgeCollector, EdgeStatistics
from bertc.recipe import Recipe
from tests.support import fidelity
from tests.support.edges import changed, normal, relative_error
from tests.support.native import ISAS, build_program, run_program
from tests.support.tiny_graphs import ops, sink_graph, sink_graphs
from tests.support.tiny_models import packed_inputs

Array = np.ndarray[Any, Any]
LENGTHS = (1, 2, 9, 17, 30) * 9
BOUNDS = np.cumsum([0, *LENGTHS])
PLACES = token_places(BOUNDS)
WEIGHT = normal(48, 64, seed=9)
INPUTS = packed_inputs([17, 1, 2, 30, 1], seed=5)
NO_PLACES = Recipe.from_dict({"smoothing": {"place_shift": False}})


def _tokens(first: float = 0.0, last: float = 0.0, spread: float = 0.1, seed: int = 0) -> Array:
    """Normal rows, but those of a place with a constant, in one channel, vary by ``spread`` alone."""
    x = normal(len(PLACES), seed=seed)
    for place, constant in ((FIRST, first), (LAST, last)):
        if constant:
            x[place == PLACES] *= spread
            x[place == PLACES, place] += constant
    return x


def _statistics(x: Array, places: Array = PLACES) -> EdgeStatistics:
    collector = EdgeCollector(x.shape[1], seed=0)
    collector.add(x, places)
    return collector.finish()


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (_tokens(first=30), (FIRST,)),
        (_tokens(last=30), (LAST,)),
        (_tokens(first=30, last=-20), (FIRST, LAST)),
        (_tokens(), ()),
        (_tokens(first=30, spread=10), ()),  # large, and in each text another
        (_tokens(first=0.5), ()),  # alike, and smaller than all others
    ],
)
def test_places_are_shifted_that_are_large_and_alike(
    x: Array, expected: tuple[int, ...], shift: bool
) -> None:
    found = choose_places(_statistics(x), shift=shift)
    assert tuple(found) == expected
    assert all(gain > 10 for gain in found.values())


def test_few_texts_rows_without_places_and_first_tokens_alone_tell_of_no_place() -> None:
    x = _tokens(first=30)
    few = BOUNDS[5]
    assert choose_places(_statistics(x[:few], PLACES[:few]), shift=True) == {}
    assert choose_places(_statistics(x, np.zeros_like(PLACES)), shift=True) == {}
    assert choose_places(_statistics(x[PLACES == FIRST], PLACES[PLACES == FIRST]), shift=True) == {}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=6),
    places=st.sets(st.sampled_from([FIRST, LAST])),
    migration=st.sampled_from([None, "auto", 0.7]),
    shift=st.booleans(),
    hadamard=st.sampled_from([1, 2, 4]),
    seed=st.integers(0, 2**16),
)
def test_without_rounding_it_is_the_same_function_of_any_rows(
    lengths: list[int], places: set[int], migration: Any, shift: bool, hadamard: int, seed: int
) -> None:
    """Whatever stands in the first and the last place, and however long sequences are."""
    edge = _statistics(_tokens(first=30, last=-8))
    rounding = Rounding(False, 127, 1.0)
    affine = choose_affine(
        edge, WEIGHT, rounding, migration=migration, shift=shift, places=places, hadamard=hadamard
    )
    bounds = np.cumsum([0, *lengths])
    x, bias = normal(int(bounds[-1]), seed=seed), normal(1, 48)[0]
    own = {"cu_seqlens": bounds} if places else {}
    names = {place: ("other", "first", "last")[place] for place in places}
    biases = {f"{name}_bias": affine.bias(WEIGHT, bias, place) for place, name in names.items()}
    z = changed(x, affine, bounds)
    found = reference.linear(
        z, affine.weight(WEIGHT), affine.bias(WEIGHT, bias), **biases, **own, activation="none"
    )
    assert relative_error(x @ WEIGHT.T + bias, found) < 1e-10
    shared, rest = affine.split()
    again = changed(changed(x, shared), rest, bounds)
    np.testing.assert_allclose(again, z, rtol=1e-5, atol=1e-4)


def test_moments_are_those_of_the_shifted_rows() -> None:
    """GPTQ and migration see what will be multiplied: nothing of the constant."""
    edge = _statistics(_tokens(first=30, last=-8))
    affine = choose_affine(
        edge, WEIGHT, Rounding(False, 127, 1.0), migration=None, shift=True, places=(FIRST, LAST)
    )
    moment = affine.statistics(edge).second_moment()
    z = changed(_tokens(first=30, last=-8), affine, BOUNDS)
    np.testing.assert_allclose(moment, z.T.astype(np.float64) @ z / len(z), atol=1e-5)
    assert moment.max() < 2


def _db(graph: Graph) -> float:
    expected, found = (
        interpreter.run(each, INPUTS)["last_hidden_state"] for each in (sink_graph()[0], graph)
    )
    return fidelity.sqnr_db(expected, found)


def test_a_sink_costs_less_and_no_op_is_added() -> None:
    """With free weights: those of random models lose so much by a bound that the rest hardly counts.

    Channels are not mixed: of two parts alone, a sink's range may become wider by that.
    """
    free = {"weights": {"bound": "none"}}
    plain, found = (
        sink_graphs(Recipe.from_dict({**free, "smoothing": {"place_shift": shift, "rotation": False}}))
        for shift in (False, True)
    )
    assert ops(found.graph) == ops(plain.graph)
    assert _db(found.graph) > _db(plain.graph) + 0.5
    affine = found.plans["embeddings.LayerNorm"].affine
    assert affine is not None
    assert set(affine.places) == {FIRST}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("mode", ["dynamic", "static", "mixed"])
def test_kernels_agree_with_the_reference(mode: str, isa: str) -> None:
    """Two independent roundings of the same precision differ by 3 dB more than each from fp32."""
    graph = sink_graphs(Recipe.from_dict({"activations": {"mode": mode}})).graph
    assert any(node["first_bias"] for node in graph.nodes)
    found = run_program(build_program(lower(graph), isa), INPUTS)["last_hidden_state"]
    assert fidelity.sqnr_db(interpreter.run(graph, INPUTS)["last_hidden_state"], found) > _db(graph) - 3


def test_a_program_by_place_lists_the_features_that_it_needs() -> None:
    features = set(lower(sink_graphs(Recipe()).graph).program.features)
    assert {"layer_norm_quantize.cu_seqlens", "linear_int8.cu_seqlens"} <= features
    assert not any("cu_seqlens" in each for each in lower(sink_graphs(NO_PLACES).graph).program.features)


@pytest.mark.parametrize(
    ("settings", "is_mixed"),
    [
        ({}, True),
        ({"smoothing": {"migration": None, "channel_shift": False, "place_shift": False}}, True),
        ({"smoothing": {"rotation": False}}, False),
        ({"activations": {"mode": "static"}}, False),
        ({"dtype": "bf16"}, False),
    ],
)
def test_a_program_lists_that_it_mixes_rows_exactly_if_it_does(
    settings: dict[str, Any], is_mixed: bool
) -> None:
    found = sink_graphs(Recipe.from_dict(settings), hidden_size=64, intermediate_size=128)
    features = lower(found.graph).program.features
    expected = {"layer_norm_quantize.hadamard", "quantize_rows.hadamard"} if is_mixed else set()
    assert {each for each in features if each.endswith(".hadamard")} == expected


def test_certificates_say_which_inputs_have_sinks_and_what_it_gave() -> None:
    found = sink_graphs(Recipe())
    ranges = {edge.name: edge for edge in edge_ranges(found.plans)}
    assert (ranges["embeddings.LayerNorm"].first_gain_db or 0) > 10
    assert ranges["embeddings.LayerNorm"].last_gain_db is None
    firsts = sum(edge.first_gain_db is not None for edge in ranges.values())
    told = describe(found, Recipe())["shift by place"]
    assert told.startswith(f"the first token in {firsts} (its error falls by ")
    assert told.endswith(f"of {len(ranges)} inputs of 8-bit layers")
    assert "shift by place" not in describe(sink_graphs(NO_PLACES), NO_PLACES)


def _with(graph: Graph, op: str, changes: dict[str, str]) -> Graph:
    index = next(i for i, node in enumerate(graph.nodes) if node.op == op and node["cu_seqlens"])
    nodes = list(graph.nodes)
    nodes[index] = nodes[index].with_inputs(**changes)
    return graph.with_nodes(nodes)


@pytest.mark.parametrize(
    ("op", "changes", "message"),
    [
        ("layer_norm_quantize", {"cu_seqlens": ""}, "cu_seqlens"),
        ("linear_int8", {"cu_seqlens": ""}, "cu_seqlens"),
        ("linear_int8", {"first_bias": ""}, "cu_seqlens"),
        ("linear_int8", {"last_bias": "encoder.layer.0.output.dense.bias"}, "last_bias"),
        ("layer_norm_quantize", {"first_offset": "encoder.layer.0.intermediate.dense.bias"}, "first_offset"),
        ("linear_int8", {"first_offset": "encoder.layer.0.output.dense.bias"}, "first_offset"),
    ],
)
def test_vectors_of_wrong_shapes_are_refused(op: str, changes: dict[str, str], message: str) -> None:
    """By the verifier, and by the native core of a file that says so."""
    graph = sink_graphs(Recipe()).graph
    with pytest.raises(GraphError, match=message):
        verify(_with(graph, op, changes))
    lowered = lower(graph)
    steps = list(lowered.program.steps)
    index = next(i for i, step in enumerate(steps) if step.op == op and "cu_seqlens" in step.inputs)
    steps[index] = dataclasses.replace(
        steps[index], inputs={k: v for k, v in {**steps[index].inputs, **changes}.items() if v}
    )
    program = dataclasses.replace(lowered.program, steps=tuple(steps))
    with pytest.raises(ArtifactError, match=op):
        build_program(dataclasses.replace(lowered, program=program), ISAS[0])


def test_the_one_token_of_a_sequence_is_its_first() -> None:
    assert token_places(np.array([0, 1, 3, 6])).tolist() == [FIRST, FIRST, LAST, FIRST, OTHER, LAST]
