"""Each word of a recipe reaches the nodes that it means, and the reason is kept."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bertc.errors import RecipeError
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from bertc.passes import fuse
from bertc.quantize.apply import apply_recipe
from bertc.quantize.parts import QKV, find_parts
from bertc.quantize.precisions import choose_precisions, explain_precisions
from bertc.recipe import Recipe
from tests.support.tiny_graphs import bert_graph
from tests.support.tiny_models import packed_inputs

LAYER = "encoder.layer.0"
ATTENTION = f"{LAYER}.attention.self"
PARTS = {
    "embeddings": "embeddings",
    f"{ATTENTION}.qkv": QKV,
    f"{LAYER}.attention.output.dense": "output",
    f"{LAYER}.intermediate.dense": "ffn",
    f"{LAYER}.output.dense": "ffn",
    "pooler.dense": "head",
    "classifier": "head",
}


def fused(head: str = "classification") -> Graph:
    return fuse(bert_graph(head, num_hidden_layers=1))


def chosen(head: str = "classification", **recipe: Any) -> dict[str, str]:
    return choose_precisions(fused(head), Recipe(**recipe))


def reason(name: str, **recipe: Any) -> str:
    return explain_precisions(fused(), Recipe(**recipe))[name].reason


def test_parts_are_found_by_structure() -> None:
    graph = fused()
    assert find_parts(graph) == PARTS
    renamed = [dataclasses.replace(node, name=f"n{i}") for i, node in enumerate(graph.nodes)]
    found = find_parts(graph.with_nodes(renamed))
    assert list(found.values()) == list(PARTS.values())


@pytest.mark.parametrize("part", ["output", "ffn", "head"])
@pytest.mark.parametrize("precision", ["int7", "bf16", "fp32"])
def test_a_part_has_its_own_precision(part: str, precision: str) -> None:
    found = chosen(parts={part: precision})
    for name, each in PARTS.items():
        if each != "embeddings":
            default = "fp32" if name == "classifier" else "int8"
            assert found[name] == (precision if each == part else default), name
    assert reason(next(n for n, p in PARTS.items() if p == part), parts={part: precision}) == f"parts.{part}"


def test_the_logits_stay_in_fp32_unless_they_are_named() -> None:
    assert chosen()["classifier"] == "fp32" and chosen()["pooler.dense"] == "int8"
    assert reason("classifier") == "it gives the logits"
    assert chosen(parts={"head": "int8"})["classifier"] == "int8"
    assert chosen(nodes={"class*": "bf16"})["classifier"] == "bf16"


def test_the_strictest_projection_decides_for_all_three() -> None:
    name = f"{ATTENTION}.qkv"
    assert chosen(parts={"query": "bf16", "key": "int7"})[name] == "bf16"
    assert chosen(parts={"query": "int7", "key": "int7"})[name] == "int8"
    assert chosen(parts={"query": "int7", "key": "int7", "value": "int7"})[name] == "int7"
    assert chosen(nodes={"*.value": "fp32"})[name] == "fp32"
    assert chosen(nodes={"*.qkv": "bf16"}, parts={"key": "fp32"})[name] == "bf16"
    found = reason(name, parts={"query": "bf16", "key": "int7"})
    assert found == "the strictest of query bf16, key int7, value int8, which are one layer"
    assert reason(name, parts={"query": "bf16", "key": "bf16", "value": "bf16"}).startswith("parts.")


def test_the_most_specific_word_counts() -> None:
    recipe = {
        "dtype": "bf16",
        "parts": {"ffn": "int8"},
        "nodes": {"*.dense": "int7", "*.intermediate.*": "fp32"},
        "exclude": ("*.0.output.dense",),
    }
    found = chosen(**recipe)
    assert found[f"{ATTENTION}.qkv"] == found[ATTENTION] == "bf16"
    assert found[f"{LAYER}.attention.output.dense"] == found["pooler.dense"] == "int7"
    assert found[f"{LAYER}.intermediate.dense"] == found[f"{LAYER}.output.dense"] == "fp32"
    assert reason(f"{LAYER}.intermediate.dense", **recipe) == "nodes '*.intermediate.*'"
    assert reason(f"{LAYER}.output.dense", **recipe) == "exclude '*.0.output.dense'"


def test_seven_bits_are_for_linear_layers_alone() -> None:
    found = chosen(weights={"bits": 7})
    assert found[f"{LAYER}.output.dense"] == "int7" and found[ATTENTION] == "int8"
    assert found["embeddings"] == "int8" and found["classifier"] == "fp32"
    assert reason(f"{LAYER}.output.dense", weights={"bits": 7}) == "weights.bits"
    assert chosen(nodes={ATTENTION: "int7"})[ATTENTION] == "int8"


@pytest.mark.parametrize(
    ("recipe", "expected", "why"),
    [
        ({}, "int8", "dtype"),
        ({"dtype": "bf16"}, "fp16", "dtype"),
        ({"embeddings": "fp32"}, "fp32", "embeddings"),
        ({"parts": {"embeddings": "bf16"}}, "fp16", "parts.embeddings"),
        ({"nodes": {"embeddings": "bf16"}}, "fp16", "nodes 'embeddings'"),
        ({"nodes": {"*": "int7"}, "dtype": "bf16"}, "int8", "nodes '*'"),
        ({"exclude": ("embed*",), "embeddings": "int8"}, "fp32", "exclude 'embed*'"),
    ],
)
def test_tables_have_16_bits_as_fp16_and_7_as_8(recipe: dict[str, Any], expected: str, why: str) -> None:
    assert chosen(**recipe)["embeddings"] == expected
    assert reason("embeddings", **recipe) == why


def test_patterns_that_match_nothing_are_named_with_their_key() -> None:
    with pytest.raises(
        RecipeError, match=r"exclude 'x' matches no node.*; nodes '.*pooller' matches no node, .*"
    ):
        chosen(exclude=("x",), nodes={"*.pooller": "bf16"})


@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
def test_any_mixture_of_parts_runs(head: str) -> None:
    graph, inputs = fuse(bert_graph(head)), packed_inputs([3, 9])
    expected = interpreter.run(graph, inputs)
    for parts in ({"query": "fp32", "ffn": "bf16"}, {"output": "bf16", "head": "int8", "embeddings": "bf16"}):
        for dtype in ("int8", "bf16", "fp32"):
            found = interpreter.run(apply_recipe(graph, Recipe(dtype=dtype, parts=parts)), inputs)
            for name, array in found.items():
                assert np.abs(array - expected[name]).max() < 0.2 * np.abs(expected[name]).max()
