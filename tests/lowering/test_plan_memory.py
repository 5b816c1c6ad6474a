"""Buffer planning: no two values that live at the same time share memory, unless one replaces the other."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bertc.artifact.schema import Step
from bertc.ir.ops import OPS
from bertc.lowering.plan_memory import MemoryPlan, plan_memory


def _lives(steps: list[Step], outputs: list[str]) -> dict[str, tuple[int, int]]:
    lives: dict[str, tuple[int, int]] = {}
    for time, step in enumerate(steps):
        for value in step.inputs.values():
            lives[value] = (lives[value][0], time)
        for value in step.outputs:
            lives[value] = (time, time)
    return {
        value: (first, len(steps) if value in outputs else last) for value, (first, last) in lives.items()
    }


def _assert_sound(steps: list[Step], sizes: dict[str, int], outputs: list[str], plan: MemoryPlan) -> None:
    lives = _lives(steps, outputs)
    for a in lives:
        assert plan.slots[plan.slot_of[a]] >= sizes[a]
        for b in lives:
            if a < b and plan.slot_of[a] == plan.slot_of[b]:
                (first_a, last_a), (first_b, last_b) = lives[a], lives[b]
                touching = last_a == first_b or last_b == first_a
                assert last_a < first_b or last_b < first_a or touching
                if touching:
                    step = steps[first_b if last_a == first_b else first_a]
                    assert OPS[step.op].in_place


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Step], dict[str, int], list[str]]:
    steps: list[Step] = []
    values: list[str] = []
    sizes: dict[str, int] = {}
    for index in range(draw(st.integers(1, 12))):
        op = draw(st.sampled_from(["layer_norm", "quantize_rows", "attention"]))
        count = 1 if op == "layer_norm" else draw(st.integers(0, 2))
        names = ("x", "gamma")[:count] if values else ()
        inputs = {name: draw(st.sampled_from(values)) for name in names}
        outputs = tuple(f"v{index}.{i}" for i in range(draw(st.integers(1, 2))))
        steps.append(Step(op, f"step {index}", inputs, outputs))
        values += outputs
        sizes.update({value: draw(st.sampled_from([64, 128, 512])) for value in outputs})
    return steps, sizes, draw(st.lists(st.sampled_from(values), max_size=3))


@settings(deadline=None, derandomize=True)
@given(programs())
def test_values_that_live_together_never_share_a_slot(
    program: tuple[list[Step], dict[str, int], list[str]],
) -> None:
    steps, sizes, outputs = program
    _assert_sound(steps, sizes, outputs, plan_memory(steps, sizes, outputs))


def test_a_chain_of_layer_norms_stays_in_one_slot() -> None:
    steps = [Step("embed", "embed", {}, ("a",))]
    steps += [Step("layer_norm", after, {"x": before}, (after,)) for before, after in ("ab", "bc", "cd")]
    plan = plan_memory(steps, dict.fromkeys("abcd", 64), ["d"])
    assert plan.slots == (64,)


def _linear(x: str, residual: str, output: str) -> Step:
    inputs = {"x": x, "weight": "weight", "bias": "bias", "residual": residual}
    return Step("linear", output, inputs, (output,))


EMBED = Step("embed", "embed", {}, ("x",))


def test_a_residual_that_is_read_again_keeps_its_memory() -> None:
    steps = [EMBED, _linear("x", "x", "y"), _linear("y", "x", "z")]
    plan = plan_memory(steps, dict.fromkeys("xyz", 64), ["z"])
    assert plan.slot_of["x"] != plan.slot_of["y"]


def test_a_residual_that_is_also_the_product_s_input_keeps_its_memory() -> None:
    plan = plan_memory([EMBED, _linear("x", "x", "y")], dict.fromkeys("xy", 64), ["y"])
    assert plan.slot_of["x"] != plan.slot_of["y"]
