from __future__ import annotations

import itertools

from bertc.inspection.facts import Inspection
from bertc.inspection.layout import Rectangle, arrange, plan


def _overlap(first: Rectangle, second: Rectangle) -> bool:
    return (
        first.x < second.right
        and second.x < first.right
        and first.y < second.bottom
        and second.y < first.bottom
    )


def test_alike_nodes_are_drawn_once_and_all_edges_go_down(found: Inspection) -> None:
    drawn = plan(found)
    layout = arrange(drawn)
    assert "encoder.layer.0.attention.self.qkv" in drawn.nodes
    assert "encoder.layer.1.attention.self.qkv" not in drawn.nodes
    assert layout.boxes.keys() == drawn.nodes.keys() | drawn.ports.keys()
    assert len(drawn.edges) == len(set(drawn.edges)) > len(drawn.nodes)
    for first, second in drawn.edges:
        assert layout.boxes[first].bottom < layout.boxes[second].y


def test_nothing_is_drawn_over_something_else(found: Inspection) -> None:
    drawn = plan(found)
    layout = arrange(drawn)
    for first, second in itertools.combinations(layout.boxes.values(), 2):
        assert not _overlap(first, second)
    ((frame, around),) = layout.frames
    assert (frame.name, frame.count, frame.prefix) == ("encoder.layer.0 .. 2", 3, "encoder.layer.0.")
    for name, box in layout.boxes.items():
        inside = (
            around.x < box.x and box.right < around.right and around.y < box.y and box.bottom < around.bottom
        )
        assert inside == _overlap(around, box) == (name in frame.inside), name
    assert all(
        box.x >= 0 and box.right < layout.width and box.bottom < layout.height
        for box in layout.boxes.values()
    )


def test_edges_that_pass_rows_have_lanes_beside_them(found: Inspection) -> None:
    drawn = plan(found)
    layout = arrange(drawn)
    residual = ("embeddings.LayerNorm", "encoder.layer.0.attention.output.dense")
    assert residual in layout.lanes
    for (first, second), x in layout.lanes.items():
        between = [
            box for box in layout.boxes.values() if layout.boxes[first].y <= box.y <= layout.boxes[second].y
        ]
        assert all(x > box.right for box in between)
        for (other, last), beside in layout.lanes.items():
            apart = (
                layout.boxes[last].y <= layout.boxes[first].y
                or layout.boxes[second].y <= layout.boxes[other].y
            )
            assert apart or beside != x or (first, second) == (other, last)


def test_inputs_are_above_what_reads_them_and_outputs_below(found: Inspection) -> None:
    drawn = plan(found)
    boxes = arrange(drawn).boxes
    assert {name[1:] for name in drawn.ports} == {
        *(value.name for value in found.inputs),
        *(value.name for value in found.outputs),
    }
    assert boxes["<input_ids"].y < boxes["embeddings"].y
    assert boxes[">logits"].y > boxes["classifier"].y
