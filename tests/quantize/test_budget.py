"""The search for fallbacks, on models that are nothing but a sum of losses."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertc.quantize.budget import SLACK, Choice, fit, order_steps
from bertc.quantize.sensitivity import Effect, Precisions, Score, measure_effects

INT8 = {"a": "int8", "b": "int8", "c": "int8", "table": "int8", "exact": "fp32"}
TABLES = frozenset({"table"})


class Model:
    """Each node adds its loss; a bf16 node keeps a hundredth of it, an fp32 node nothing."""

    SHARE: Mapping[str, float] = {"int8": 1.0, "bf16": 0.01, "fp16": 0.001, "fp32": 0.0}

    def __init__(self, losses: Mapping[str, float], floor: float = 0.0) -> None:
        self.losses, self.floor, self.tried = losses, floor, list[Precisions]()

    def __call__(self, precisions: Precisions) -> Score:
        self.tried.append(precisions)
        loss = sum(self.losses.get(name, 0) * self.SHARE[kind] for name, kind in precisions.items())
        return Score(loss, loss + self.floor, 30.0)


def even(name: str, precision: str, instead_of: str) -> float:
    assert name and precision != instead_of
    return {"bf16": 0.1, "fp16": 0.1, "fp32": 0.3}[precision]


def choose(model: Model, max_drop: float, precisions: Precisions = INT8, cost: object = even) -> Choice:
    effects = list(measure_effects(precisions, model))
    model.tried.clear()
    return fit(
        precisions,
        model(precisions),
        effects,
        max_drop=max_drop,
        cost=cost,  # type: ignore[arg-type]
        tables=TABLES,
        measure=model,
    )


def changed(choice: Choice, precisions: Precisions = INT8) -> dict[str, str]:
    return {name: kind for name, kind in choice.precisions.items() if kind != precisions[name]}


def test_each_node_is_measured_alone() -> None:
    model = Model({"a": 0.3, "b": 0.1})
    effects = {effect.name: effect.loss for effect in measure_effects(INT8, model)}
    assert effects == {"a": 0.3, "b": 0.1, "c": 0.0, "table": 0.0}
    assert all(sum(kind != "fp32" for kind in tried.values()) == 1 for tried in model.tried)


def test_a_budget_that_holds_already_costs_nothing() -> None:
    model = Model({"a": 0.01})
    choice = choose(model, 0.02)
    assert choice.met and choice.precisions == INT8 and choice.trials == 0 and len(model.tried) == 1


def test_only_the_bad_node_falls_back() -> None:
    choice = choose(Model({"a": 0.001, "b": 0.5, "c": 0.001}), 0.01)
    assert choice.met and changed(choice) == {"b": "bf16"}
    assert choice.before.drop == pytest.approx(0.502) and choice.score.drop == pytest.approx(0.007)


def test_bits_are_added_as_long_as_it_takes() -> None:
    choice = choose(Model({"b": 0.5}), 0.001)
    assert choice.met and changed(choice) == {"b": "fp32"}


def test_of_equal_nodes_the_cheapest_falls_back() -> None:
    def cost(name: str, precision: str, instead_of: str) -> float:
        return even(name, precision, instead_of) * {"a": 5, "b": 1, "c": 3}.get(name, 1)

    choice = choose(Model({"a": 0.1, "b": 0.1, "c": 0.1}), 0.22, cost=cost)
    assert changed(choice) == {"b": "bf16"}


def test_a_fallback_that_turns_out_not_to_be_needed_is_taken_back() -> None:
    """``c`` saves most for its cost, but ``a`` alone is enough, and ``c`` alone is not."""

    def cost(name: str, precision: str, instead_of: str) -> float:
        return even(name, precision, instead_of) * {"a": 4}.get(name, 1)

    model = Model({"a": 0.3, "c": 0.1})
    assert order_steps(INT8, list(measure_effects(INT8, model)), cost, TABLES)[0].name == "c"
    assert changed(choose(model, 0.11, cost=cost)) == {"a": "bf16"}


def test_a_metric_that_counts_is_not_searched_for_luck() -> None:
    """A variant that does well by chance alone is not looked for."""
    model = Model({"a": 0.3, "c": 0.1})
    effects = list(measure_effects(INT8, model))
    choice = fit(
        INT8, model(INT8), effects, max_drop=0.05, cost=even, tables=TABLES, measure=model, smooth=False
    )
    assert choice.met and set(changed(choice)) == {"a", "c"} and choice.trials <= 4


def test_tables_fall_back_to_fp16() -> None:
    assert changed(choose(Model({"table": 0.5}), 0.01)) == {"table": "fp16"}


def test_a_budget_that_cannot_be_kept_gives_the_best_there_is() -> None:
    choice = choose(Model({"a": 0.5, "b": 0.1}, floor=0.2), 0.1)
    assert not choice.met
    assert choice.score.drop == pytest.approx(0.2) and set(choice.precisions.values()) == {"fp32"}


def test_rounding_errors_do_not_break_a_budget_of_zero() -> None:
    assert choose(Model({"a": 0.5}, floor=SLACK / 2), 0).met


def test_steps_of_a_node_are_in_the_order_of_its_bits() -> None:
    steps = order_steps(INT8, [Effect("a", "int8", 0.1, 30), Effect("b", "int8", 1e-9, 90)], even, TABLES)
    assert [(step.name, step.precision) for step in steps if step.name == "a"] == [
        ("a", "bf16"),
        ("a", "fp32"),
    ]
    assert steps[0].name == "a" and {step.name for step in steps} == {"a", "b"}


@settings(max_examples=100, deadline=None, derandomize=True)
@given(losses=st.lists(st.floats(0, 1), min_size=1, max_size=60), share=st.floats(0.001, 1))
def test_the_budget_holds_no_fallback_is_idle_and_few_variants_are_tried(
    losses: list[float], share: float
) -> None:
    precisions = {f"n{i}": "int8" for i in range(len(losses))}
    model = Model({f"n{i}": loss for i, loss in enumerate(losses)})
    max_drop = share * sum(losses)
    choice = choose(model, max_drop, precisions)
    assert choice.met and choice.score.drop <= max_drop + SLACK
    fallbacks = changed(choice, precisions)
    for name in fallbacks:
        without = {**choice.precisions, name: "int8"}
        assert model(without).drop > max_drop
    assert choice.trials <= 2 + 8 + len(precisions)
