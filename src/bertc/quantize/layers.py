"""Rounds the weights of one linear layer, and corrects its bias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.ir import formulas
from bertc.ir.formulas import OTHER
from bertc.quantize.bias_correction import correct_bias
from bertc.quantize.bound import covering_scale, may_exceed, round_bounded
from bertc.quantize.channel_order import choose_order
from bertc.quantize.clip import search_scale
from bertc.quantize.constants import RoundedWeight
from bertc.quantize.edges import EdgePlan
from bertc.quantize.gptq import round_gptq
from bertc.recipe import WeightScheme

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class RoundedLayer:
    """The weights and the bias of a linear layer in 8 bits."""

    weight: RoundedWeight
    bias: Array
    """The corrected bias: float32 [out]."""
    place_biases: Mapping[int, Array] = field(default_factory=lambda: MappingProxyType({}))
    """That of the rows at each place (an index into ``PLACES``) whose input has a shift of its own."""
    order: Array | None = None
    """The order, int [in], that the weights' input channels were brought into; None if they stayed."""


def round_layer(
    weight: Array,
    bias: Array,
    plan: EdgePlan | None,
    scheme: WeightScheme,
    bits: int,
    *,
    with_bias_correction: bool,
    heads: tuple[int, int] | None = None,
) -> RoundedLayer:
    """Round ``weight`` float32 [out, in]; without a plan nothing is known of the input, or too little.

    Input channels may be moved within ``heads`` (``edges.heads_of_queries_and_values``), if given.
    """
    limit = 2 ** (bits - 1) - 1
    affine = None if plan is None else plan.affine
    changed = weight if affine is None else affine.weight(weight)
    fits = plan is not None and plan.can_be_fitted_to
    moment = plan.after.second_moment() if plan is not None and fits else np.eye(weight.shape[1])
    order = None
    parts = 1 if affine is None else affine.hadamard
    if heads is not None and may_exceed(scheme.bound, limit):
        # What is mixed with each other moves alike.
        kept = heads if parts == 1 else (parts, 1)
        order = choose_order(changed, np.diag(moment), limit, scheme.bound, kept)
        changed, moment = changed[:, order], moment[np.ix_(order, order)]
    power = np.diag(moment)
    scale = _scale(changed, power, scheme, limit)
    if fits and scheme.rounding == "gptq":
        numbers = round_gptq(changed, scale, moment, limit, scheme.bound)
    else:
        numbers = round_bounded(changed, scale, power, limit, scheme.bound)
    rounded = RoundedWeight(numbers, scale)
    if plan is None:
        return RoundedLayer(rounded, bias, order=order)

    def bias_of(place: int) -> Array:
        if fits and with_bias_correction:
            mean, after = plan.mean(place), plan.mean_after_rounding(place)
            after = after if order is None else after[order]
            return correct_bias(bias, weight, mean, formulas.dequantize_per_channel(*rounded), after)
        return bias if affine is None else affine.bias(weight, bias, place)

    places = () if affine is None else affine.places
    return RoundedLayer(rounded, bias_of(OTHER), {place: bias_of(place) for place in places}, order)


def _scale(weight: Array, power: Array, scheme: WeightScheme, limit: int) -> Array:
    """Return scales float32 [out]; per tensor, they are all the same."""
    if scheme.granularity == "per_tensor":
        # Whole groups in each row, as the bound of a group is that of one channel.
        padding = -weight.shape[1] % 8
        everything = np.pad(weight, ((0, 0), (0, padding))).reshape(1, -1)
        powers = np.tile(np.pad(power, (0, padding)), len(weight))
        (scale,) = _channel_scales(everything, powers, scheme, limit)
        return np.full(len(weight), scale, np.float32)
    return _channel_scales(weight, power, scheme, limit)


def _channel_scales(weight: Array, power: Array, scheme: WeightScheme, limit: int) -> Array:
    if scheme.clip == "mse":
        return search_scale(weight, power, limit, scheme.bound)
    return covering_scale(weight, limit, scheme.bound)
