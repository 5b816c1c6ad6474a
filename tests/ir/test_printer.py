from __future__ import annotations

from bertc.ir.printer import to_text
from tests.support.tiny_graphs import small_graph


def test_every_value_is_printed_with_its_type() -> None:
    assert to_text(small_graph()).splitlines() == [
        "graph imported",
        "  input input_ids: i32[tokens]",
        "  constant table: f32[10, 8]",
        "  constant dense.weight: f32[4, 8]",
        "  constant dense.bias: f32[4]",
        "  x: f32[tokens, 8] = embed(input_ids=input_ids, word=table, cu_seqlens=cu_seqlens)",
        "  dense: f32[tokens, 4] = linear(x=x, weight=dense.weight, bias=dense.bias) activation='none'",
        "  output y = dense",
    ]


def test_an_invalid_graph_is_printed_with_the_complaint() -> None:
    graph = small_graph()
    text = to_text(graph.with_nodes(graph.nodes[1:]))
    assert "# invalid: node 'dense' (linear): input 'x' is 'x'" in text
    assert "  dense = linear(x=x, " in text
