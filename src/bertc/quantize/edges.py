"""Plans how the inputs of 8-bit layers are changed and quantized: one plan for each edge."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.ir import formulas
from bertc.ir.formulas import FIRST, OTHER, PLACES
from bertc.ir.graph import Node
from bertc.ir.ops import OPS
from bertc.quantize.bound import may_exceed
from bertc.quantize.channel_order import choose_signs
from bertc.quantize.constants import StaticScale
from bertc.quantize.places import choose_places
from bertc.quantize.smooth import (
    ChannelAffine,
    Rounding,
    choose_affine,
    estimate_error,
    largest_order,
    no_change,
)
from bertc.quantize.static_scales import covered_range, group_channels, static_scale
from bertc.quantize.statistics import EdgeStatistics
from bertc.recipe import Recipe

Array = np.ndarray[Any, Any]

GPTQ_SHARE = 0.35
"""The error of GPTQ's products on text that it was not fitted to, as a share of rounding to nearest: 0.25 to
0.45 for the layers of MiniLM with 6,000 tokens. It only weighs weights against activations."""


LEAST_GAIN_DB = 1.0
"""By how much scaling what an activation gives must lower the error: nothing else needs its vectors, which
are stored and read for every row. MiniLM's second feed-forward matrices, mixed, gain 1.04 to 2.2."""

FEWEST_ROWS = 6
"""With fewer rows than this nothing is fitted to them but static ranges, which have no other source. On
MiniLM the error with one token is 6 times that of rounding to nearest, with 3 tokens 1.6, with 6 0.84."""


@dataclass(frozen=True, eq=False)
class EdgePlan:
    """The way in which one edge is quantized."""

    before: EdgeStatistics
    """The statistics of the value itself."""
    affine: ChannelAffine | None
    """The change of the value before it is quantized; None for no change."""
    static: StaticScale | None
    """The scale of all rows; None where each row has a scale of its own."""
    gain_db: float = 0.0
    """The estimate of how much ``affine`` lowers the layers' error."""
    place_gains_db: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    """How much the shift of its own lowers the error of the rows at a place; of each place that has one."""

    @property
    def after(self) -> EdgeStatistics:
        """The statistics of the changed value, which is quantized: made anew, as they are large."""
        return self.before if self.affine is None else self.affine.statistics(self.before)

    @property
    def can_be_fitted_to(self) -> bool:
        """Return whether enough was seen of the value to round weights and correct biases by it."""
        return self.before.rows >= FEWEST_ROWS

    def mean(self, place: int = OTHER) -> Array:
        """Return the mean of the rows with the shift of a place, float64 [channels].

        Those at ``OTHER`` are all that have no shift of their own.
        """
        return self._mean(self.before, place)

    def _mean(self, edge: EdgeStatistics, place: int) -> Array:
        return edge.mean_of([place] if place in self._places else self._others)

    @property
    def _places(self) -> Collection[int]:
        """The places whose rows have a shift of their own."""
        return () if self.affine is None else self.affine.places

    @property
    def _others(self) -> list[int]:
        return [place for place in range(len(PLACES)) if place not in self._places]

    def mean_after_rounding(self, place: int = OTHER) -> Array:
        """Return the mean of the rounded numbers that the layer multiplies, of the rows of :meth:`mean`.

        What a static scale clips counts as if it were kept. That error is large in few tokens and absent in
        the others: taken off a bias, its mean would be an error in all of them (MiniLM, whose GELU has such
        tokens, falls from a cosine of 0.994 to 0.04 with percentile 99.99).
        """
        after = self.after
        if place in self._places:
            sample = after.first if place == FIRST else after.last
        else:
            sample = after.sample[np.isin(after.sample_places, self._others)]
        kept = sample
        if self.static is not None:
            (low, high), half = covered_range(self.static), self.static.scale / 2
            kept = np.clip(sample, low - half, high + half)
        # Of the sample only the error: the mean itself is known from all rows.
        error = self.round(sample) - kept
        return np.asarray(self._mean(after, place) + error.sum(axis=0, dtype=np.float64) / max(1, len(error)))

    def round(self, rows: Array) -> Array:
        """Return what is left of rows of the changed value after 8 bits."""
        if self.static is None:
            return formulas.dequantize_rows(*formulas.quantize_rows(rows))
        return formulas.dequantize_rows(*formulas.quantize_static(rows, *self.static))


def plan_edge(
    edge: EdgeStatistics,
    weight: Array,
    bits: int,
    recipe: Recipe,
    producers: Sequence[Node | None],
    *,
    by_place: bool = False,
) -> EdgePlan:
    """Choose by the recipe for an edge, or for several that layers with the same weights read.

    ``edge`` has the statistics of their rows, ``weight`` float32 [out, in] is that of all 8-bit layers that
    read them, ``producers`` are the nodes that make them, None for an input of the graph. ``by_place``: rows
    at places may have a shift of their own.
    """
    scheme = recipe.activations
    static = all(is_static_edge(producer, recipe) for producer in producers)
    affine, gain = None, 0.0
    smoothed = is_smoothed(producers, recipe) and edge.rows >= FEWEST_ROWS
    share = GPTQ_SHARE if recipe.weights.rounding == "gptq" else 1.0
    rounding = Rounding(static, 2 ** (bits - 1) - 1, share, heads_of_queries_and_values(producers[0]))
    shift = smoothed and _is_shifted(producers, recipe)
    fixed = static and any(map(_knows_no_places, producers))
    places = choose_places(edge, shift=shift) if by_place and not fixed else {}
    order = largest_order(weight.shape[1]) if smoothed and _is_mixed(producers, recipe) else 1
    if smoothed or places:
        choose = partial(choose_affine, edge, weight, rounding, shift=shift, places=places, hadamard=order)
        gain_of = partial(_gain_db, edge, weight, rounding)
        affine = choose(migration=recipe.smoothing.migration if smoothed else None)
        if any(map(_is_activated, producers)):
            plain = choose(migration=None)
            if gain_of(plain, affine) < LEAST_GAIN_DB:
                affine = plain if places or order > 1 else None
        gain = 0.0 if affine is None else gain_of(no_change(weight.shape[1]), affine)
        if smoothed and affine is not None and _is_turned(producers, recipe, rounding):
            # What is mixed with each other has one sign.
            weights = affine.weight(weight).reshape(-1, weight.shape[1] // order)
            signs = choose_signs(weights, rounding.weight_limit, recipe.weights.bound)
            affine = affine.turned(np.tile(signs, order))
    if not static or scheme.observer is None:
        return EdgePlan(edge, affine, None, gain, places)
    after = edge if affine is None else affine.statistics(edge)
    if scheme.granularity == "per_channel_group":
        groups = rounding.made_alike(group_channels(after, scheme, scheme.observer))
        affine = groups if affine is None else affine.then(groups)
        after = affine.statistics(edge)
    scale = static_scale(after, scheme.observer, symmetric=scheme.symmetric)
    return EdgePlan(edge, affine, scale, gain, places)


def _gain_db(
    edge: EdgeStatistics, weight: Array, rounding: Rounding, without: ChannelAffine, chosen: ChannelAffine
) -> float:
    """Return by how much one change leaves less error than another."""
    before, left = (estimate_error(edge, weight, each, rounding) for each in (without, chosen))
    return 10 * math.log10(before / left) if before and left else 0.0


def is_smoothed(producers: Sequence[Node | None], recipe: Recipe) -> bool:
    """Return whether what these nodes give is scaled or shifted before it is quantized, if that gains."""
    migrates, mixes = recipe.smoothing.migration is not None, _is_mixed(producers, recipe)
    smooths = migrates or mixes or _is_shifted(producers, recipe)
    fixed = any(_is_activated(producer) and is_static_edge(producer, recipe) for producer in producers)
    return smooths and not fixed


def is_static_edge(producer: Node | None, recipe: Recipe) -> bool:
    """Return whether a node's output has a static scale: in mode "mixed", if it can write 8 bits itself."""
    mode = recipe.activations.mode
    writes = producer is not None and any(OPS[form].stores("u8") for form in OPS[producer.op].forms.values())
    return mode == "static" or (mode == "mixed" and writes)


def heads_of_queries_and_values(producer: Node | None) -> tuple[int, int]:
    """Return how many heads a node's output is of, and how many of those have values; 1 for no attention."""
    if producer is None or producer.op != "attention":
        return 1, 1
    heads = int(producer.attributes["num_attention_heads"])
    return heads, int(producer.attributes.get("num_key_value_heads", 0)) or heads


def _is_activated(producer: Node | None) -> bool:
    """Tell whether a node's output is that of an activation, as GELU's.

    It is scaled where it is quantized by itself, not written in 8 bits at once, and never shifted: a quiet
    channel's mean is no middle of what it says when it speaks.
    """
    activated = (
        producer is not None and producer.op == "linear" and producer.attributes["activation"] != "none"
    )
    return activated and not _is_gated(producer)


def _is_shifted(producers: Sequence[Node | None], recipe: Recipe) -> bool:
    """Return whether what these nodes give may be shifted.

    The layer that makes a gated value can scale it for nothing, by its values' weights, but not shift it.
    Shifting what GELU gives, MiniLM loses 3 % more.
    """
    return recipe.smoothing.channel_shift and not any(_is_gated(p) or _is_activated(p) for p in producers)


def _is_turned(producers: Sequence[Node | None], recipe: Recipe, rounding: Rounding) -> bool:
    """Return whether channels may change their sign so that bounded weights lose less.

    Where they are written with a multiplier anyway, and stand in an order that cannot be chosen.
    """
    moves = any(producer is not None and producer.op in ("attention", "linear") for producer in producers)
    return may_exceed(recipe.weights.bound, rounding.weight_limit) and not rounding.static and not moves


def _is_mixed(producers: Sequence[Node | None], recipe: Recipe) -> bool:
    """Return whether the channels of what these nodes give are mixed.

    Those of attention's heads are not: they are free to move instead, and gain 2 % by being mixed.
    """
    of_heads = any(producer is not None and producer.op == "attention" for producer in producers)
    static = all(is_static_edge(producer, recipe) for producer in producers)
    return recipe.smoothing.rotation and not static and not of_heads


def _knows_no_places(producer: Node | None) -> bool:
    """Tell whether a node can write 8 bits by a static scale, but shift no rows before: attention, a gate."""
    return producer is not None and (producer.op == "attention" or _is_gated(producer))


def _is_gated(producer: Node | None) -> bool:
    return producer is not None and bool(producer.attributes.get("gated"))
