"""The cpu target gives what the interpreter gives, for any value of a graph, without a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertc.compiler import cpu_target
from bertc.compiler.cpu_target import CpuTarget
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from bertc.passes import fuse
from bertc.quantize.apply import apply_precisions, apply_recipe
from bertc.recipe import Recipe
from tests.support.tiny_graphs import bert_graph
from tests.support.tiny_models import packed_inputs

pytestmark = pytest.mark.native

INPUTS = packed_inputs([1, 7, 20])


def observed(graph: Graph) -> Graph:
    """The graph with every value that layers give as an output."""
    values = {
        node.outputs[0]: node.outputs[0] for node in graph.nodes if node.op not in ("quantize_rows", "pool")
    }
    return graph.with_nodes(graph.nodes, outputs=values)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_every_value_agrees_with_the_interpreter(dtype: str) -> None:
    graph = observed(apply_recipe(fuse(bert_graph()), Recipe(dtype=dtype)))
    expected = interpreter.run(graph, INPUTS)
    found = CpuTarget(num_threads=1)(graph, INPUTS)
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == np.float32
        # The interpreter leaves attention's operands unrounded, so bf16 differs by some steps.
        atol = {"fp32": 1e-4, "bf16": 0.1}[dtype] * np.abs(array).max()
        np.testing.assert_allclose(found[name], array, rtol=0, atol=atol, err_msg=name)


def test_a_fused_graph_runs_in_fp32() -> None:
    graph = fuse(bert_graph())
    expected = interpreter.run(graph, INPUTS)
    for name, array in CpuTarget()(graph, INPUTS).items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-4)


def test_more_outputs_than_a_program_takes_run_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = observed(apply_recipe(fuse(bert_graph()), Recipe()))
    expected = CpuTarget()(graph, INPUTS)
    assert len(expected) > 6
    monkeypatch.setattr(cpu_target, "MAX_OUTPUTS", 3)
    found = CpuTarget()(graph, INPUTS)
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_variants_share_what_was_packed_and_forget_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = []
    tensor = cpu_target._PackedTensor

    def count(*arguments: Any) -> Any:
        packed.append(arguments)
        return tensor(*arguments)

    monkeypatch.setattr(cpu_target, "_PackedTensor", count)
    target, fused = CpuTarget(), fuse(bert_graph())
    target(fused, INPUTS)
    first = len(packed)
    precisions = dict.fromkeys(
        ("embeddings", *(node.name for node in fused.nodes if node.op != "pool")), "fp32"
    )
    name = "encoder.layer.0.output.dense"
    target(apply_precisions(fused, {**precisions, name: "bf16"}), INPUTS)
    assert len(packed) == first + 1
    target(fused, INPUTS)
    assert len(packed) == first + 1
    for _ in range(cpu_target.KEPT_GRAPHS):
        target(fuse(bert_graph()), INPUTS)
    packed.clear()
    target(fused, INPUTS)
    assert len(packed) == first


def test_what_an_executable_holds_is_not_packed_again() -> None:
    target, typed = CpuTarget(), apply_recipe(fuse(bert_graph()), Recipe(dtype="bf16"))
    executable = target.executable(typed)
    for _ in range(cpu_target.KEPT_GRAPHS):
        target(fuse(bert_graph()), INPUTS)
    again = target.executable(observed(typed))
    assert again.tensors.keys() == executable.tensors.keys()
    assert all(again.tensors[name] is tensor for name, tensor in executable.tensors.items())


def test_another_graph_is_not_mistaken_for_the_last_one() -> None:
    target = CpuTarget()
    first, second = fuse(bert_graph(seed=1)), fuse(bert_graph(seed=2))
    before = target(first, INPUTS)["sentence_embedding"]
    assert not np.array_equal(target(second, INPUTS)["sentence_embedding"], before)
    np.testing.assert_array_equal(target(first, INPUTS)["sentence_embedding"], before)
