"""What lowering tells the native core of a step."""

from __future__ import annotations

from bertc.lowering.lower import lower
from bertc.passes import fuse
from bertc.quantize.apply import apply_recipe
from bertc.recipe import Parts, Recipe
from tests.support.tiny_graphs import bert_graph


def test_only_the_layers_of_a_7_bit_part_promise_7_bits() -> None:
    typed = apply_recipe(fuse(bert_graph()), Recipe(parts=Parts(ffn="int7")))
    steps = [step for step in lower(typed).program.steps if step.op == "linear_int8"]
    found = {step.name: step.attributes["weight_bits"] for step in steps}
    feed_forward = {name for name in found if "attention" not in name and "pooler" not in name}
    assert len(feed_forward) == 4
    assert found == {name: 7 if name in feed_forward else 8 for name in found}
