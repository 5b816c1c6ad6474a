"""Lifting undoes lowering: the graph of a program computes what was lowered."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from bertc.errors import ArtifactError
from bertc.frontends.huggingface import import_model
from bertc.ir import interpreter
from bertc.ir.graph import Constant, DType, Graph
from bertc.lowering.lift import lift
from bertc.lowering.lower import lower
from bertc.passes import fuse
from bertc.quantize.apply import apply_precisions, apply_recipe
from bertc.quantize.constants import StaticScale
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Recipe
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.tiny_graphs import bert_graph, sink_graphs
from tests.support.tiny_models import packed_inputs


def _static() -> Graph:
    fused = fuse(bert_graph())
    static = {"encoder.layer.0.intermediate.dense": StaticScale(0.25, 7)}
    return apply_precisions(fused, choose_precisions(fused, Recipe()), static=static)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8", "static"])
def test_a_lifted_program_computes_what_was_lowered(dtype: str) -> None:
    graph = _static() if dtype == "static" else apply_recipe(fuse(bert_graph()), Recipe(dtype=dtype))
    lifted = lift(lower(graph))
    assert [node.op for node in lifted.nodes] == [node.op for node in graph.nodes]
    inputs = packed_inputs((5, 3), vocab_size=20)
    expected, found = (interpreter.run(each, inputs) for each in (graph, lifted))
    for name, array in expected.items():
        # Only static scales were multiplied and are divided again.
        atol = 1e-4 if dtype == "static" else 0
        np.testing.assert_allclose(found[name], array, atol=atol, rtol=0)


def test_vectors_by_place_are_lifted() -> None:
    graph = sink_graphs(Recipe()).graph
    lifted = lift(lower(graph))
    inputs = packed_inputs((17, 1, 3), vocab_size=20)
    expected, found = (interpreter.run(each, inputs) for each in (graph, lifted))
    assert any(node["first_bias"] for node in lifted.nodes)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize(
    ("class_name", "sizes"),
    [
        ("ModernBertModel", {"local_attention": 6, "intermediate_size": 40}),
        ("DebertaV2Model", {}),
        ("UltrabertModel", {"intermediate_size": 40}),
        ("JinaBertModel", {"intermediate_size": 40}),
    ],
)
def test_what_families_add_is_lifted(
    class_name: str, sizes: dict[str, int], dtype: str, tmp_path: Path
) -> None:
    folder = save_checkpoint(tmp_path / "model", class_name, hidden_size=24, **sizes)
    graph = apply_recipe(fuse(import_model(folder).graph), Recipe(dtype=dtype))
    lifted = lift(lower(graph))
    inputs = packed_inputs((17, 3), vocab_size=20)
    expected, found = (interpreter.run(each, inputs) for each in (graph, lifted))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("reach", [1, 5, 91])
def test_a_bias_by_distance_is_lifted(dtype: str, reach: int) -> None:
    """The numbers that packing puts at either end are taken off again, and so are others that are alike."""
    bias = np.random.default_rng(0).normal(0, 2, (2, 2 * reach + 1)).astype(np.float32)
    graph = fuse(bert_graph())
    nodes = [
        node.with_inputs(distance_bias="distance_bias") if node.op == "attention" else node
        for node in graph.nodes
    ]
    constants = {**graph.constants, "distance_bias": Constant(DType.F32, bias)}
    graph = apply_recipe(graph.with_nodes(nodes, constants=constants), Recipe(dtype=dtype))
    lifted = lift(lower(graph))
    np.testing.assert_array_equal(lifted.constants["distance_bias"].array, bias)
    inputs = packed_inputs((17, 3), vocab_size=20)
    expected, found = (interpreter.run(each, inputs) for each in (graph, lifted))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)
    flat = np.repeat(np.float32([[1.5], [2]]), 2 * reach + 1, axis=1)
    constants = {**graph.constants, "distance_bias": Constant(DType.F32, flat)}
    flat_graph = graph.with_nodes(graph.nodes, constants=constants)
    assert lift(lower(flat_graph)).constants["distance_bias"].array.tolist() == [[1.5], [2]]


def test_a_tensor_that_does_not_fit_is_named() -> None:
    executable = lower(apply_recipe(fuse(bert_graph()), Recipe(dtype="fp32")))
    name = next(name for name in executable.tensors if name.endswith("query.bias") or "qkv.bias" in name)
    small = dataclasses.replace(executable.tensors[name], array=executable.tensors[name].array[:16])
    forged = dataclasses.replace(executable, tensors={**executable.tensors, name: small})
    with pytest.raises(ArtifactError, match=rf"tensor '{name}' is \(16,\)"):
        lift(forged)
