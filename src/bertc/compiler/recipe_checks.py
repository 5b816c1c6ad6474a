"""Checks that a recipe fits a model, beyond what can be said of the recipe alone."""

from __future__ import annotations

from collections.abc import Iterator

from bertc.compiler.fit_budget import check_metric
from bertc.errors import RecipeError
from bertc.frontends.imported_model import ImportedModel
from bertc.ir.graph import Graph
from bertc.quantize.precisions import misfits
from bertc.recipe import Recipe
from bertc.recipe.keys import Problem


def find_misfits(recipe: Recipe, model: ImportedModel, fused: Graph) -> Iterator[Problem]:
    """Yield what the recipe names and the model does not have: nodes, its task, its metric."""
    yield from misfits(fused, recipe)
    if recipe.task not in (None, model.info.task):
        yield Problem(
            ("task",), f"task is {recipe.task}, the model {model.info.name} is for {model.info.task}"
        )
    try:
        check_metric(model.info, recipe.budget)
    except RecipeError as error:
        yield Problem(("budget", "metric"), str(error))
