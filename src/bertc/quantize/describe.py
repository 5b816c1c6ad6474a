"""What quantization did to a model, in plain values: for the certificate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bertc.quantize.edges import EdgePlan
from bertc.quantize.quantize import Quantized
from bertc.recipe import Recipe

OUTLIER = 20.0
"""A channel that lies this many times the typical size of its neighbors from zero is worth a note: it
would leave them less than 13 of 256 steps."""


def describe(quantized: Quantized, recipe: Recipe) -> dict[str, Any]:
    """The methods that took part, and what they chose for each edge; empty if nothing is in 8 bits."""
    if not quantized.plans:
        return {}
    weights, activations = recipe.weights, recipe.activations
    return {
        "weights": f"{weights.granularity}, clip {weights.clip}, rounding {weights.rounding}",
        "activations": f"{activations.mode}, {activations.granularity}",
        "bias_correction": recipe.bias_correction,
        "edges": {edge: _describe_edge(plan) for edge, plan in quantized.plans.items()},
    }


def notes(quantized: Quantized) -> Iterator[str]:
    """What readers of a certificate should know: where there were outliers, and what became of them."""
    found = {edge: plan.before.largest_outlier() for edge, plan in quantized.plans.items()}
    far = {edge: size for edge, size in found.items() if size >= OUTLIER}
    if not far:
        return
    worst = max(far, key=lambda edge: far[edge])
    changed = sum(quantized.plans[edge].affine is not None for edge in far)
    yield (
        f"{len(far)} of {len(found)} inputs of 8-bit layers have outlier channels, up to {far[worst]:.0f}"
        f" times as large as the typical one ({worst}); channels are scaled and shifted in {changed} of them"
    )


def _describe_edge(plan: EdgePlan) -> Mapping[str, Any]:
    facts: dict[str, Any] = {}
    if plan.affine is not None:
        if plan.affine.alpha is not None:
            facts["migration"] = plan.affine.alpha
        facts["largest_shift"] = _round(np.abs(plan.affine.offset / plan.affine.multiplier).max())
        facts["gain_db"] = _round(plan.gain_db)
    if plan.static is not None:
        facts["scale"] = _round(plan.static.scale)
        facts["zero_point"] = plan.static.zero_point
    return facts


def _round(value: Any) -> float:
    return float(f"{float(value):.4g}")
