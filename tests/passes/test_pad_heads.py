from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bertc.ir.graph import Graph
from bertc.passes.fuse_qkv import fuse_qkv
from bertc.passes.pad_heads import pad_heads
from tests.support.tiny_graphs import assert_same_results, bert_graph, with_distance_bias, with_rotary
from tests.support.tiny_models import packed_inputs

QKV = "encoder.layer.0.attention.self.qkv"
DENSE = "encoder.layer.0.attention.output.dense"


def _graph(hidden: int, heads: int) -> Graph:
    return fuse_qkv(bert_graph(hidden_size=hidden, num_attention_heads=heads, num_hidden_layers=1))


@pytest.mark.parametrize(
    ("hidden", "heads", "padded"), [(312, 12, 32), (36, 2, 32), (10, 10, 16), (24, 1, 32)]
)
def test_heads_are_padded_to_a_multiple_of_16_and_results_kept(hidden: int, heads: int, padded: int) -> None:
    graph = _graph(hidden, heads)
    after = pad_heads(graph)
    assert_same_results(graph, after, packed_inputs([1, 11]), atol=5e-6)
    assert after.constants[f"{QKV}.weight"].array.shape == (3 * heads * padded, hidden)
    assert after.constants[f"{QKV}.bias"].array.shape == (3 * heads * padded,)
    assert after.constants[f"{DENSE}.weight"].array.shape == (hidden, heads * padded)
    attention = next(node for node in after.nodes if node.op == "attention")
    assert attention.attributes["scale"] == 1 / np.sqrt(hidden // heads)


def test_a_bias_by_distance_is_that_of_the_padded_heads() -> None:
    graph = with_distance_bias(_graph(36, 2))
    after = pad_heads(graph)
    assert after.constants[f"{QKV}.bias"].array.shape == (3 * 2 * 32,)
    assert after.constants["distance_bias"] is graph.constants["distance_bias"]
    assert_same_results(graph, after, packed_inputs([1, 11]), atol=5e-6)


@pytest.mark.parametrize(
    ("hidden", "heads", "pairs", "padded"),
    [(24, 2, 6, 32), (32, 2, 8, 32), (36, 2, 5, 48), (160, 2, 40, 96), (64, 1, 16, 64)],
)
def test_pairs_that_positions_turn_stay_pairs(hidden: int, heads: int, pairs: int, padded: int) -> None:
    graph = with_rotary(_graph(hidden, heads), pairs, window=4)
    after = pad_heads(graph)
    assert_same_results(graph, after, packed_inputs([1, 11]), atol=5e-6)
    assert after.constants[f"{QKV}.weight"].array.shape == (3 * heads * padded, hidden)
    assert after.constants[f"{DENSE}.weight"].array.shape == (hidden, heads * padded)
    assert after.constants["rotary"].array.shape == (64, 2 * (pairs + -pairs % 16))


def test_heads_that_share_keys_and_values_are_padded() -> None:
    graph = with_rotary(_graph(36, 2), 5, window=4)
    shared = {name: graph.constants[name] for name in (f"{QKV}.weight", f"{QKV}.bias")}
    shared = {n: dataclasses.replace(c, source=c.array[: (2 + 2) * 18]) for n, c in shared.items()}
    nodes = [n.with_attributes(num_key_value_heads=1) if n.op == "attention" else n for n in graph.nodes]
    graph = graph.with_nodes(nodes, constants={**graph.constants, **shared})
    after = pad_heads(graph)
    assert_same_results(graph, after, packed_inputs([1, 11]), atol=5e-6)
    assert after.constants[f"{QKV}.weight"].array.shape == ((2 + 2) * 48, 36)


def test_every_added_number_is_zero() -> None:
    graph = _graph(36, 2)
    for name in (f"{QKV}.weight", f"{QKV}.bias", f"{DENSE}.weight"):
        before, after = graph.constants[name].array, pad_heads(graph).constants[name].array
        assert np.count_nonzero(after) == np.count_nonzero(before)
        np.testing.assert_array_equal(after[after != 0], before[before != 0])


@pytest.mark.parametrize(("hidden", "heads"), [(32, 2), (64, 1)])
def test_heads_of_a_right_size_are_left(hidden: int, heads: int) -> None:
    graph = _graph(hidden, heads)
    assert pad_heads(graph).constants[f"{QKV}.weight"] is graph.constants[f"{QKV}.weight"]


def test_heads_whose_result_is_a_graph_output_are_left() -> None:
    graph = _graph(36, 2)
    outputs = {**graph.outputs, "context": "encoder.layer.0.attention.self"}
    graph = dataclasses.replace(graph, outputs=outputs)
    assert pad_heads(graph).constants[f"{QKV}.weight"] is graph.constants[f"{QKV}.weight"]
