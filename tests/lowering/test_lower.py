"""What lowering tells the native core of a step."""

from __future__ import annotations

import numpy as np

from bertc.lowering.lower import lower
from bertc.passes import fuse
from bertc.quantize.apply import apply_precisions, apply_recipe
from bertc.quantize.constants import StaticScale
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Parts, Recipe
from tests.support.tiny_graphs import bert_graph


def test_only_the_layers_of_a_7_bit_part_promise_7_bits() -> None:
    typed = apply_recipe(fuse(bert_graph()), Recipe(parts=Parts(ffn="int7")))
    steps = [step for step in lower(typed).program.steps if step.op == "linear_int8"]
    found = {step.name: step.attributes["weight_bits"] for step in steps}
    feed_forward = {name for name in found if "attention" not in name and "pooler" not in name}
    assert len(feed_forward) == 4
    assert found == {name: 7 if name in feed_forward else 8 for name in found}


def test_a_scale_and_zero_point_that_rows_share_are_in_those_of_the_columns() -> None:
    fused, gelu = fuse(bert_graph()), "encoder.layer.0.intermediate.dense"
    static = {gelu: StaticScale(0.25, 7)}
    typed = apply_precisions(fused, choose_precisions(fused, Recipe()), static=static)
    dynamic, shared = (lower(graph) for graph in (apply_recipe(fused, Recipe()), typed))
    name = "encoder.layer.0.output.dense"
    before, after = (next(s for s in m.program.steps if s.name == name) for m in (dynamic, shared))
    columns = (f"{name}.column_scale", f"{name}.column_shift")
    assert after.inputs == (f"{gelu}.q", "", "", before.inputs[3], *columns, *before.inputs[6:])
    for factor, old, new in zip((0.25, 7), before.inputs[4:6], columns, strict=True):
        np.testing.assert_array_equal(shared.tensors[new].array, factor * dynamic.tensors[old].array)
    unread = {*before.inputs[4:6], f"{gelu}.scale", f"{gelu}.zero_point"}
    assert unread.isdisjoint(shared.tensors)
