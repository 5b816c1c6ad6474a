"""The recipe: what a compilation is asked to do, validated, as Python, JSON or YAML."""

from bertc.recipe.recipe import Recipe
from bertc.recipe.schema import (
    ActivationScheme,
    Budget,
    Calibration,
    Observer,
    Parts,
    Smoothing,
    WeightScheme,
)

__all__ = [
    "ActivationScheme",
    "Budget",
    "Calibration",
    "Observer",
    "Parts",
    "Recipe",
    "Smoothing",
    "WeightScheme",
]
