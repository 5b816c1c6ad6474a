"""Holds the accuracy budget of a recipe: measures variants of the model on the native core.

How nodes are chosen is in ``quantize/budget.py``; here is what a variant is scored by.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc import fidelity
from bertc.artifact.certificate import BudgetOutcome, Fallback, Sensitivity
from bertc.artifact.schema import ModelInfo
from bertc.compiler.cpu_target import CpuTarget
from bertc.compiler.measure import answers
from bertc.compiler.samples import Batch, Samples
from bertc.compiler.task_scores import TaskScorer
from bertc.compiler.yardsticks import Yardstick, yardstick
from bertc.errors import BudgetError, RecipeError
from bertc.ir.graph import Graph
from bertc.quantize.budget import Choice, fit
from bertc.quantize.costs import Costs
from bertc.quantize.sensitivity import EXACT, Effect, Precisions, Score, measure_effects
from bertc.recipe import Budget
from bertc.runtime.progress import Advance, progress
from bertc.task_table import TASKS

Array = np.ndarray[Any, Any]

Variant = Callable[[Precisions], Graph]
"""Returns the typed graph whose nodes have the given precisions."""


@dataclass(frozen=True, eq=False)
class BudgetedModel:
    """The model that a budget is held for, in all variants that may be tried."""

    info: ModelInfo
    fused: Graph
    variant: Variant
    precisions: Precisions
    """The precisions that the recipe asks for, by node."""
    samples: Samples
    target: CpuTarget


@dataclass(frozen=True, eq=False)
class BudgetResult:
    """The precisions of a model's nodes, and what the budget had to do with them."""

    precisions: Precisions
    outcome: BudgetOutcome | None
    """The outcome for the certificate; None without a budget."""
    notes: tuple[str, ...] = ()
    """Notes on the budget that a reader of the certificate should know."""


def check_metric(info: ModelInfo, budget: Budget | None) -> None:
    """Raise ``RecipeError`` for a budget whose metric does not fit the model or the data: before the work."""
    if budget is not None:
        _choose_metric(info, budget)


def _choose_metric(info: ModelInfo, budget: Budget) -> str:
    own = yardstick(info).metric
    task = TASKS[info.task].metric or own
    if task == own and budget.eval_data is not None:
        raise RecipeError(
            f"nothing scores models for {info.task} on labeled data: leave out budget.eval_data"
        )
    metric = budget.metric
    if metric == "auto":
        metric = own if budget.eval_data is None else task
    if metric not in (own, task):
        raise RecipeError(
            f"budget.metric {metric} does not fit a model for {info.task}: use {own}, or with eval_data "
            f"{task}"
        )
    if metric == task != own and budget.eval_data is None:
        raise RecipeError(f"budget.metric {metric} needs budget.eval_data: labeled data to score on")
    return metric


def hold_budget(
    model: BudgetedModel, budget: Budget | None, scorer: TaskScorer | None, *, show_progress: bool = False
) -> BudgetResult:
    """Return the cheapest precisions that hold the budget, with their outcome; without one, the recipe's."""
    if budget is None:
        return BudgetResult(model.precisions, None)
    metric = _choose_metric(model.info, budget)
    measure = yardstick(model.info)
    judge = _Judge(model, measure, None if metric == measure.metric else scorer)
    before = judge.measure(model.precisions)
    effects: list[Effect] = []
    if before.drop > budget.max_drop:
        count = sum(precision != EXACT for precision in model.precisions.values())
        with progress(count, "measuring each node", enabled=show_progress) as judge.advance:
            effects = list(measure_effects(model.precisions, judge.rank))
    facts = model.samples.facts
    costs = Costs(model.fused, model.precisions, judge.isa, facts.tokens / max(facts.samples, 1))
    with progress(None, "trying fallbacks", enabled=show_progress and bool(effects)) as judge.advance:
        choice = fit(
            model.precisions,
            before,
            effects,
            max_drop=budget.max_drop,
            cost=costs.cost,
            tables=frozenset(node.name for node in model.fused.nodes if node.op == "embed"),
            measure=judge.measure,
            smooth=measure.smooth and metric == measure.metric,
        )
    outcome = _outcome(model, budget, metric, choice, effects, costs, judge.trials)
    return BudgetResult(
        choice.precisions, outcome, tuple(_notes(measure, metric, budget.max_drop, judge.rows))
    )


def _notes(measure: Yardstick, metric: str, max_drop: float, rows: int) -> Iterator[str]:
    if metric == measure.metric and not measure.smooth and max_drop < 1 / rows:
        yield (
            f"the budget was held on {rows:,} answers, of which none may differ: agreement moves in steps of "
            f"{100 / rows:.2g} %, more held-out samples (calibration.held_out) tell smaller drops"
        )


def check_budget(outcome: BudgetOutcome | None, allow: bool) -> None:
    """Raise ``BudgetError`` for a budget that is not kept, or warn if that is allowed."""
    if outcome is None or outcome.met:
        return
    message = (
        f"the budget cannot be kept: {outcome.metric} drops by {100 * outcome.drop:.4g} % at best, "
        f"{100 * outcome.max_drop:.4g} % is allowed"
    )
    if not allow:
        raise BudgetError(
            f"{message}; nothing was written: raise max_drop, or set allow_over_budget to have it anyway"
        )
    warnings.warn(message, stacklevel=4)


class _Judge:
    """Scores variants against the fp32 model, whose answers it keeps."""

    def __init__(self, model: BudgetedModel, yardstick: Yardstick, scorer: TaskScorer | None) -> None:
        self._model, self._yardstick, self._scorer = model, yardstick, scorer
        self._expected = self._answers(model.fused, model.samples.batches)
        self.trials = 0
        self.advance: Advance = lambda _: None

    @property
    def rows(self) -> int:
        """The number of answers that are compared."""
        return len(self._expected)

    @property
    def isa(self) -> str:
        return self._model.target.isa

    def measure(self, precisions: Precisions) -> Score:
        """Return the score of a variant on all samples, its drop by the metric of the budget."""
        graph = self._model.variant(precisions)
        score = self._score(graph, self._model.samples.batches)
        if self._scorer is not None:
            drop = self._scorer.drop(self._scorer.score(self._model.target.session(graph)))
            score = Score(score.loss, drop, score.sqnr_db)
        return score

    def rank(self, precisions: Precisions) -> Score:
        """Return a score on few samples, without the task's own metric, which takes longer and is coarse."""
        return self._score(self._model.variant(precisions), self._model.samples.few)

    def _score(self, graph: Graph, batches: Sequence[Batch]) -> Score:
        self.trials += 1
        found = self._answers(graph, batches)
        expected = self._expected[: len(found)]
        self.advance(1)
        meter = fidelity.NoiseMeter()
        meter.add(expected, found)
        by = self._yardstick
        return Score(by.loss(expected, found), by.drop(expected, found), meter.db)

    def _answers(self, graph: Graph, batches: Sequence[Batch]) -> Array:
        output = self._yardstick.output
        only = graph.with_nodes(graph.nodes, outputs={output: graph.outputs[output]})
        return answers(only, batches, self._model.target)[output]


def _outcome(
    model: BudgetedModel,
    budget: Budget,
    metric: str,
    choice: Choice,
    effects: list[Effect],
    costs: Costs,
    trials: int,
) -> BudgetOutcome:
    return BudgetOutcome(
        metric=metric,
        max_drop=float(budget.max_drop),
        drop_before=choice.before.drop,
        drop=choice.score.drop,
        met=choice.met,
        trials=trials,
        fallbacks=tuple(_fallbacks(model.precisions, choice.precisions, costs)),
        sensitivity=tuple(
            Sensitivity(
                name=effect.name,
                precision=effect.precision,
                loss=effect.loss,
                sqnr_db=round(effect.sqnr_db, 2),
            )
            for effect in effects
        ),
    )


def _fallbacks(recipe: Precisions, chosen: Precisions, costs: Costs) -> Iterator[Fallback]:
    for name, precision in chosen.items():
        if precision != recipe[name]:
            slower = costs.slower(name, precision, recipe[name])
            yield Fallback(
                name=name, precision=precision, instead_of=recipe[name], slower=float(f"{slower:.3g}")
            )
