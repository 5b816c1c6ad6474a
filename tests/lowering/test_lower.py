"""What lowering tells the native core of a step."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from bertc.artifact.embedding_facts import EmbeddingFacts
from bertc.artifact.schema import FEATURES
from bertc.errors import ArtifactError
from bertc.ir.graph import Graph
from bertc.ir.ops import OPS
from bertc.lowering.lower import lower
from bertc.passes import fuse
from bertc.quantize.apply import apply_precisions, apply_recipe
from bertc.quantize.constants import StaticScale
from bertc.quantize.precisions import choose_precisions
from bertc.recipe import Parts, Recipe
from tests.support.native import build_program
from tests.support.tiny_graphs import IDS, bert_graph, constant, embed, with_distance_bias


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
    rows = {"scale": f"{gelu}.scale", "zero_point": f"{gelu}.zero_point"}
    assert before.inputs.items() - after.inputs.items() >= rows.items()
    of_columns = ("column_scale", "column_sum")
    expected = {**before.inputs, **dict(zip(of_columns, columns, strict=True))}
    assert {**before.inputs, **after.inputs} == expected
    for factor, operand in zip((0.25, 7), of_columns, strict=True):
        old, new = (m.tensors[s.inputs[operand]].array for m, s in ((dynamic, before), (shared, after)))
        np.testing.assert_array_equal(new, factor * old)
    unread = {*(before.inputs[operand] for operand in of_columns), *rows.values()}
    assert unread.isdisjoint(shared.tensors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inputs": {"memory": "x"}}, "no input 'memory': the file may need a newer bertc"),
        ({"attributes": {"memory": 7}}, "no attribute 'memory': the file may need a newer bertc"),
        ({"outputs": ("more",)}, "has 1 outputs, the step 2: the file may need a newer bertc"),
    ],
)
def test_the_native_core_refuses_what_it_does_not_know_of_a_step(
    change: dict[str, Any], message: str
) -> None:
    lowered = lower(fuse(bert_graph()))
    steps = list(lowered.program.steps)
    name = "encoder.layer.0.attention.self"
    at = next(index for index, step in enumerate(steps) if step.name == name)
    for key, more in change.items():
        before = getattr(steps[at], key)
        after = (*before, *more) if key == "outputs" else {**before, **more}
        steps[at] = dataclasses.replace(steps[at], **{key: after})
    program = dataclasses.replace(lowered.program, steps=tuple(steps))
    with pytest.raises(ArtifactError, match=rf"step '{name}' \(attention\): this op .*{message}"):
        build_program(dataclasses.replace(lowered, program=program), "scalar")


def test_a_program_lists_what_it_uses_beyond_what_all_readers_know() -> None:
    tables = {name: constant(20, 16) for name in ("word", "position", "task_type")}

    def features(*names: str, first_position: int = 0) -> tuple[str, ...]:
        nodes = (embed("y", first_position=first_position, **{name: name for name in names}),)
        return lower(Graph(IDS, tables, nodes, {"y": "y"}, "fused")).program.features

    assert features("word", "position") == ()
    assert features("word", "position", first_position=2) == ("embed.first_position",)
    assert features("word", "task_type") == ("embed.task_type",)
    assert lower(fuse(bert_graph())).program.features == ()
    biased = lower(fuse(with_distance_bias(bert_graph()))).program
    assert biased.features == ("attention.distance_bias",)


def test_readers_know_all_features_that_the_op_table_has() -> None:
    names = {f"{op.name}.{name}" if name != op.name else name for op in OPS.values() for name in op.features}
    facts = EmbeddingFacts(default_prompt_name="query", truncate_dim=8)
    assert names | {*facts.features} == FEATURES
    for op in OPS.values():
        optional = {operand.name for operand in op.operands if operand.optional} | op.defaults.keys()
        # What lowering states of packed weights is in no graph.
        stated = {"weight_bound"} if op.name == "linear_int8" else set()
        assert {*op.features} <= {op.name, *optional, *stated}
