"""A model that is given vectors instead of ids computes what it computes from the ids themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bertc.compiler.cpu_target import CpuTarget
from bertc.compiler.vectors import enter_at_embeddings
from bertc.errors import InputError
from bertc.frontends.huggingface import import_model
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from bertc.ir.verifier import verify
from bertc.passes import fuse
from bertc.quantize.apply import apply_recipe
from bertc.recipe import Recipe
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.tiny_graphs import bert_graph
from tests.support.tiny_models import packed_inputs

INPUTS = packed_inputs([1, 7, 20])
ROWS = {**INPUTS, "input_ids": np.arange(28, dtype=np.int32), "token_type_ids": np.zeros(28, np.int32)}


def values_at(graph: Graph, op: str) -> np.ndarray:
    """What the first node of this op gives."""
    node = next(node for node in graph.nodes if node.op == op)
    return interpreter.run(graph.with_nodes(graph.nodes, outputs={"y": node.outputs[0]}), INPUTS)["y"]


@pytest.mark.parametrize("op", ["embed", "layer_norm"])
def test_vectors_from_before_and_after_the_norm(op: str) -> None:
    graph = fuse(bert_graph())
    entered = enter_at_embeddings(graph, values_at(graph, op))
    verify(entered)
    expected = interpreter.run(graph, INPUTS)
    for run in (interpreter.run, CpuTarget()):
        for name, array in run(entered, ROWS).items():
            np.testing.assert_allclose(array, expected[name], rtol=0, atol=2e-4, err_msg=name)


def test_a_quantized_graph_takes_them_too() -> None:
    graph = fuse(bert_graph())
    typed = apply_recipe(graph, Recipe(embeddings="fp32"))
    entered = enter_at_embeddings(typed, values_at(graph, "embed"))
    verify(entered)
    expected = interpreter.run(typed, INPUTS)
    for name, array in interpreter.run(entered, ROWS).items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-3, err_msg=name)


def test_a_norm_that_is_no_embedding_norm_changes_no_vectors(tmp_path: Path) -> None:
    model = import_model(save_checkpoint(tmp_path / "model", "MegatronBertModel"))
    graph = fuse(model.graph)
    rows = np.random.default_rng(0).normal(size=(28, 32)).astype(np.float32)
    rows = (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)
    entered = enter_at_embeddings(graph, rows)
    embed = next(node for node in entered.nodes if node.op == "embed")
    np.testing.assert_array_equal(entered.constants[embed["word"]].array, rows)


def test_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="vectors have 16 components, the model's embeddings 32"):
        enter_at_embeddings(fuse(bert_graph()), np.ones((4, 16), np.float32))
