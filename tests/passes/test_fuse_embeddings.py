from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from bertc.ir.graph import Graph
from bertc.ir.reference import TABLES
from bertc.passes.fuse_embeddings import fuse_embeddings
from tests.support.tiny_graphs import IDS, assert_same_results, constant, embed, node, ops
from tests.support.tiny_models import packed_inputs

INPUTS = {**packed_inputs([2, 5], vocab_size=10), "task_type_ids": np.array([3, 0, 1, 1, 2, 3, 3], np.int32)}
SUBSETS = [tables for count in (2, 3, 4) for tables in itertools.combinations(TABLES, count)]


def _graph(*sums: tuple[str, str, str]) -> Graph:
    """Lookups ``e.TABLE`` and sums (name, operand, operand) of them, of which the last is the output."""
    constants = {f"{name}.table": constant(10, 8, seed=i) for i, name in enumerate(TABLES)}
    used = {operand for _, *operands in sums for operand in operands}
    nodes = [
        embed(f"e.{name}", first_position=2 if name == "position" else 0, **{name: f"{name}.table"})
        for name in TABLES
        if f"e.{name}" in used
    ]
    nodes += [node("add", name, left, right) for name, left, right in sums]
    return Graph(IDS, constants, tuple(nodes), {"y": sums[-1][0]})


def _chain(tables: tuple[str, ...], *, swapped: bool = False) -> Graph:
    """``((a + b) + c) + d``, or ``d + (c + (b + a))``."""
    sums, total = [], f"e.{tables[0]}"
    for table in tables[1:]:
        operands = (f"e.{table}", total) if swapped else (total, f"e.{table}")
        total = f"sum.{table}"
        sums.append((total, *operands))
    return _graph(*sums)


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("tables", SUBSETS)
def test_lookups_and_their_sums_become_one_embed_with_the_same_bits(
    tables: tuple[str, ...], swapped: bool
) -> None:
    graph = _chain(tables, swapped=swapped)
    fused = fuse_embeddings(graph)
    assert [(each.op, each.name) for each in fused.nodes] == [("embed", "e")]
    assert {name for name in TABLES if fused.nodes[0][name]} == set(tables)
    assert fused.nodes[0].attributes.get("first_position", 0) == (2 if "position" in tables else 0)
    assert_same_results(graph, fused, INPUTS, atol=0)
    counted = {name: array for name, array in INPUTS.items() if name != "position_ids"}
    assert_same_results(graph, fused, counted, atol=0)


@pytest.mark.parametrize(
    "sums",
    [
        [("inner", "e.word", "e.position"), ("outer", "inner", "e.token_type")],
        [("inner", "e.token_type", "e.position"), ("outer", "e.word", "inner")],
        [("a", "e.word", "e.token_type"), ("b", "e.position", "e.task_type"), ("outer", "a", "b")],
    ],
)
def test_another_order_of_sums_is_left_since_it_rounds_differently(sums: list[tuple[str, str, str]]) -> None:
    graph = _graph(*sums)
    fused = fuse_embeddings(graph)
    assert ops(fused)[-1] == "add"
    assert_same_results(graph, fused, INPUTS, atol=0)


def test_a_lookup_that_something_else_reads_is_left() -> None:
    graph = _chain(("word", "token_type", "position"))
    graph = dataclasses.replace(graph, outputs={**graph.outputs, "words": "e.word"})
    assert ops(fuse_embeddings(graph)) == ops(graph)


def test_one_table_looked_up_twice_is_left() -> None:
    graph = _graph(("sum", "e.word", "e.word"))
    assert ops(fuse_embeddings(graph)) == ["embed", "add"]
