from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from bertc.inspection.facts import Inspection, NodeFacts, Row
from bertc.inspection.nodes import Size
from bertc.inspection.table import tabulate
from bertc.inspection.tree import fold


def leaves(rows: Sequence[Row]) -> Iterator[Row]:
    for row in rows:
        yield from leaves(row.children) if row.children else [row]


def names(rows: Sequence[Row]) -> list[str]:
    return [row.name for row in rows]


def test_layers_that_are_alike_are_one_row(found: Inspection) -> None:
    assert names(found.tree) == [
        "embeddings",
        "embeddings.LayerNorm",
        "encoder.layer.0 .. 2",
        "pooler",
        "classifier",
    ]
    layers = found.tree[2]
    assert layers.count == 3
    assert names(layers.children) == ["attention", "intermediate", "output"]
    assert names(layers.children[0].children) == ["self.qkv", "self", "self.quantize_rows", "output"]
    qkv = layers.children[0].children[0]
    assert qkv.nodes == tuple(f"encoder.layer.{index}.attention.self.qkv" for index in range(3))
    assert (qkv.op, qkv.dtype, qkv.output) == ("linear_int8", "int8", "bf16[tokens, 96]")
    assert qkv.parameters == 3 * (96 * 32 + 96)


def test_every_node_is_in_one_row_and_the_rows_add_up(found: Inspection) -> None:
    rows = [*leaves(found.tree)]
    assert sorted(name for row in rows for name in row.nodes) == sorted(node.name for node in found.nodes)
    for key in ("parameters", "bytes", "operations"):
        total = getattr(found, key)
        assert sum(getattr(row, key) for row in rows) == total > 0, key
        assert sum(getattr(row, key) for row in found.tree) == total, key


def test_rows_are_in_execution_order(found: Inspection) -> None:
    place = {node.name: index for index, node in enumerate(found.nodes)}
    first = [place[row.nodes[0]] for row in leaves(found.tree)]
    assert first == sorted(first)


def _nodes(found: Inspection, *names: str) -> list[NodeFacts]:
    node = next(each for each in found.nodes if each.operations)
    return [dataclasses.replace(node, name=name, inputs={"weight": name}) for name in names]


def test_only_neighbors_whose_names_are_numbers_are_folded(found: Inspection) -> None:
    nodes = _nodes(found, "a.0", "a.1", "a.2", "b.x", "b.y", "a.3")
    nodes[1] = dataclasses.replace(nodes[1], dtype="fp32")
    assert [names(row.children) for row in fold(nodes, {})] == [["0", "1", "2 .. 3"], ["x", "y"]]


def test_a_tensor_that_several_nodes_share_counts_once(found: Inspection) -> None:
    nodes = [dataclasses.replace(node, inputs={"weight": "w"}) for node in _nodes(found, "a.0", "a.1")]
    (row,) = fold(nodes, {"w": Size(10, 40)})
    assert (row.name, row.count, row.parameters, row.bytes) == ("a.0 .. 1", 2, 10, 40)
    assert row.operations == 2 * nodes[0].operations


def test_numbers_inside_numbers_are_folded_too(found: Inspection) -> None:
    nodes = _nodes(found, *(f"group.{i}.layer.{j}.dense" for i in range(2) for j in range(3)))
    (row,) = fold(nodes, {})
    assert (row.name, row.count, len(row.nodes)) == ("group.0 .. 1", 2, 6)
    (inner,) = row.children
    assert (inner.name, inner.count, len(inner.nodes)) == ("layer.0 .. 2", 3, 6)


def test_the_table_has_a_line_for_each_row_and_no_zeros(found: Inspection) -> None:
    table = tabulate(found)
    assert table.title == "operations for 2 x 5 tokens"
    lines = {str(row[0]).strip(): row for row in table.rows}
    assert lines["encoder.layer.0 .. 2 (3x)"][5] == found.tree[2].parameters
    assert lines["self.quantize_rows"][5:8] == ("", "", "")
    assert str(table.rows[3][0]).startswith("  attention")
    assert lines["classifier"][-1] == "it gives the logits"
