"""Describes what quantization did to a model, in plain values, for the certificate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bertc.ir.formulas import FIRST, LAST
from bertc.quantize.quantize import Quantized
from bertc.recipe import ActivationScheme, Recipe

OUTLIER = 20.0
"""From this multiple of its neighbors' typical size on, a channel is worth a note: it would leave them
less than 13 of 256 steps."""


def describe(quantized: Quantized, recipe: Recipe) -> dict[str, Any]:
    """Return the methods that took part and how often they were chosen; empty if nothing is in 8 bits."""
    if not quantized.plans:
        return {}
    weights, activations = recipe.weights, recipe.activations
    methods: dict[str, Any] = {
        "weights": f"{weights.granularity}, clip {weights.clip}, rounding {weights.rounding}",
        "activations": _describe_activations(activations),
        "bias_correction": recipe.bias_correction,
    }
    if recipe.smoothing.place_shift:
        methods["shift by place"] = _describe_places(quantized)
    affines = [plan.affine for plan in quantized.plans.values() if plan.affine is not None]
    if affines:
        alphas = sorted(affine.alpha for affine in affines if affine.alpha is not None)
        shifted = sum(bool(affine.offset.any()) for affine in affines)
        methods["smoothing"] = (
            f"{len(alphas)} of {len(quantized.plans)} inputs of 8-bit layers migrate their scales"
            f"{_describe_alphas(alphas)}, {shifted} shift their channels"
        )
    if recipe.smoothing.rotation:
        orders = [affine.hadamard for affine in affines if affine.hadamard > 1]
        among = f", among {min(orders)} to {max(orders)} each" if orders else ""
        methods["rotation"] = (
            f"{len(orders)} of {len(quantized.plans)} inputs of 8-bit layers have their channels mixed{among}"
        )
    return methods


def _describe_places(quantized: Quantized) -> str:
    """Say at how many inputs of 8-bit layers a token has a shift of its own, and what that gives it."""
    words = []
    for place, name in ((FIRST, "first"), (LAST, "last")):
        gains = [p.place_gains_db[place] for p in quantized.plans.values() if place in p.place_gains_db]
        median = f" (its error falls by {sorted(gains)[len(gains) // 2]:.0f} dB, the median)" if gains else ""
        words.append(f"the {name} token in {len(gains)}{median}")
    return f"{', '.join(words)} of {len(quantized.plans)} inputs of 8-bit layers"


def notes(quantized: Quantized) -> Iterator[str]:
    """Yield what readers of a certificate should know of outliers: where they were, what became of them."""
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


def _describe_activations(scheme: ActivationScheme) -> str:
    words = [scheme.mode, str(scheme.granularity)]
    if scheme.granularity == "per_channel_group":
        words[-1] += f" of {scheme.group_size}"
    if scheme.observer is not None:
        observer = scheme.observer
        details = {"percentile": f" {observer.percentile:g}", "topk": f" {observer.topk_ratio:g}"}
        words.append(f"observer {observer.kind}{details.get(observer.kind, '')}")
    return ", ".join([*words, "symmetric"] if scheme.symmetric else words)


def _describe_alphas(alphas: Sequence[float]) -> str:
    if not alphas:
        return ""
    return f" (alpha {alphas[0]:g} to {alphas[-1]:g}, median {alphas[len(alphas) // 2]:g})"
