from __future__ import annotations

import dataclasses

from bertc.ir.graph import Graph
from bertc.passes.fuse_embeddings import fuse_embeddings
from tests.support.tiny_graphs import IDS, assert_same_results, constant, node, ops
from tests.support.tiny_models import packed_inputs

INPUTS = packed_inputs([2, 5], vocab_size=10)


def _graph(*sums: tuple[str, str, str]) -> Graph:
    lookups = {"w": "input_ids", "t": "token_type_ids", "p": "position_ids"}
    constants = {f"{name}.table": constant(10, 8, seed=i) for i, name in enumerate(lookups)}
    nodes = [node("embedding", f"e.{name}", ids, f"{name}.table") for name, ids in lookups.items()]
    nodes += [node("add", name, left, right) for name, left, right in sums]
    return Graph(IDS, constants, tuple(nodes), {"y": sums[-1][0]})


def test_three_lookups_and_two_sums_become_one_embed_with_the_same_bits() -> None:
    for sums in (
        [("inner", "e.w", "e.t"), ("outer", "inner", "e.p")],
        [("inner", "e.t", "e.w"), ("outer", "e.p", "inner")],
    ):
        graph = _graph(*sums)
        fused = fuse_embeddings(graph)
        assert ops(fused) == ["embed"]
        assert fused.nodes[0].name == "e"
        assert_same_results(graph, fused, INPUTS, atol=0)


def test_another_order_of_sums_is_left_since_it_rounds_differently() -> None:
    graph = _graph(("inner", "e.w", "e.p"), ("outer", "inner", "e.t"))
    assert ops(fuse_embeddings(graph)) == ops(graph)


def test_a_lookup_that_something_else_reads_is_left() -> None:
    graph = _graph(("inner", "e.w", "e.t"), ("outer", "inner", "e.p"))
    graph = dataclasses.replace(graph, outputs={"y": "outer", "words": "e.w"})
    assert ops(fuse_embeddings(graph)) == ops(graph)
