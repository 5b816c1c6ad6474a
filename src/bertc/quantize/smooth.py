"""Scale migration and channel shift: activations become easy to quantize, weights and biases make up for it.

Where a few channels are much larger than the rest, or lie far from zero, they take up the 8 bits of all
others. Instead of ``x`` the layer then quantizes ``z = (x + shift) / scale``, a number of each per
channel, and its weights become ``W * scale``, its bias ``b - W shift``: the same products, before rounding.

* Migration: Xiao et al. 2022, "SmoothQuant", arXiv:2211.10438, eq. 4: scales share the difficulty between
  activations and weights by ``alpha``. The paper compares largest values. Here, where a range is shared by
  the channels of one token, and not by all tokens, the typical size of a channel counts as much as its
  largest: we take their geometric mean, and the norm of a channel's weights.
* Shift: Wei et al. 2023, "Outlier Suppression+", arXiv:2304.09145, sec. 4.1. We shift by the mean, where
  the paper takes the middle of the range, which a single odd token moves.

Both measured: layers of MiniLM after layer norms have 0.24 of their error left, with largest values 0.32,
with middles 0.30.

* Rotation: Ashkboos et al. 2024, "QuaRot", arXiv:2404.00456, sec. 4: behind a Hadamard matrix no channel is
  much larger than the rest, neither of a token nor of the weights that take it. Where theirs mixes all
  channels of a row, ours (``formulas.mix_parts``) mixes up to 16, so that it costs as little as a change
  of the channels.

Tokens at some places of their sequence may have a shift of their own (``places.py`` chooses which): it is
subtracted before rounding as well, and a bias of that place makes up for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.ir.formulas import HADAMARD_ORDERS, PLACES, can_mix, mix_parts
from bertc.quantize.statistics import EdgeStatistics, median_of_used

Array = np.ndarray[Any, Any]

ALPHAS = tuple(step / 10 for step in range(11))
"""The shares that "auto" tries. The error is flat around its minimum: steps of 0.05 gain less than 1 %."""

SMALLEST_SHARE = 0.1
"""The least size that a channel (of activations, of weights) counts as, as a share of the median one: what
calibration never moved must not be blown up when another text moves it."""

FEWEST_PARTS = 4
"""Of two parts a sum may be twice as large as either: rows of one far larger number lose 7 to 15 % more than
unmixed, where 4 parts win 5 to 16 %, 8 half, 16 most."""


@dataclass(frozen=True, eq=False)
class ChannelAffine:
    """A change of the channels of ``x``: ``x * multiplier + offset``, vectors float32 [channels], mixed."""

    multiplier: Array
    offset: Array
    alpha: float | None
    """The share of the scale that moved into the weights; None where scales stayed."""
    places: Mapping[int, Array] = field(default_factory=lambda: MappingProxyType({}))
    """The offset of the rows at each place (an index into ``PLACES``) that has one of its own."""
    hadamard: int = 1
    """How many parts of a row are mixed after that, by ``formulas.mix_parts``; 1 for none."""

    def offsets(self) -> Array:
        """Return the offset of each place: float32 [3, channels]."""
        return np.stack([self.places.get(place, self.offset) for place in range(len(PLACES))])

    def then(self, other: ChannelAffine) -> ChannelAffine:
        """Return the change that makes this one and then the other."""
        offset, *_ = offsets = self.offsets() * other.multiplier + other.offsets()
        places = {place: offsets[place] for place in (*self.places, *other.places)}
        return ChannelAffine(self.multiplier * other.multiplier, offset, self.alpha, places)

    def turned(self, signs: Array) -> ChannelAffine:
        """Return the change whose result is multiplied by ``signs``, 1 or -1: alike for what is mixed."""
        places = {place: offset * signs for place, offset in self.places.items()}
        return replace(self, multiplier=self.multiplier * signs, offset=self.offset * signs, places=places)

    def split(self) -> tuple[ChannelAffine, ChannelAffine | None]:
        """Return the change that all rows share but for mixing, and what must be done after it, if any."""
        shared = ChannelAffine(self.multiplier, self.offset, self.alpha)
        if not self.places and self.hadamard == 1:
            return shared, None
        plain = no_change(len(self.offset))
        rest = {place: offset - self.offset for place, offset in self.places.items()}
        return shared, ChannelAffine(plain.multiplier, plain.offset, None, rest, self.hadamard)

    def statistics(self, edge: EdgeStatistics) -> EdgeStatistics:
        """Return the statistics of the changed value."""
        changed = edge.affine(self.multiplier, self.offsets() if self.places else self.offset)
        return changed.mixed(self.hadamard)

    def weight(self, weight: Array) -> Array:
        """Return the weights float32 [out, in] that take the changed value."""
        # The matrix that mixes is symmetric, and its own inverse but for a factor.
        mixed = mix_parts(weight / self.multiplier, self.hadamard) / self.hadamard
        return np.asarray(mixed, np.float32)

    def bias(self, weight: Array, bias: Array, place: int = 0) -> Array:
        """Return the bias float32 [out] for the changed value of rows at a place.

        ``weight`` is the one that takes ``x``.
        """
        offset = self.places.get(place, self.offset).astype(np.float64)
        return np.asarray(bias - weight.astype(np.float64) @ (offset / self.multiplier), np.float32)


@dataclass(frozen=True, eq=False)
class Rounding:
    """The facts about a layer's rounding that its error depends on."""

    static: bool
    """Whether activations have one range; else each row has its own."""
    weight_limit: int
    """The largest number of a weight: 127 or 63."""
    weight_share: float
    """The error of weights, as a share of what rounding to nearest gives."""
    heads: tuple[int, int] = (1, 1)
    """How many heads of attention the input is of, and how many of those have values: a change of the input
    is one of the values, and so must be alike for the neighboring heads that share some."""

    def alike(self, vectors: Array) -> Array:
        """Return [..., channels], the mean of heads that share values in place of what is each one's own."""
        heads, own = self.heads
        split = vectors.reshape(*vectors.shape[:-1], own, heads // own, -1)
        return np.broadcast_to(split.mean(axis=-2, keepdims=True), split.shape).reshape(vectors.shape)

    def made_alike(self, affine: ChannelAffine) -> ChannelAffine:
        """Return a change without places, alike for heads that share values."""
        return ChannelAffine(self.alike(affine.multiplier), self.alike(affine.offset), affine.alpha)


def no_change(channels: int) -> ChannelAffine:
    """Return the change that leaves everything as it is."""
    return ChannelAffine(np.ones(channels, np.float32), np.zeros(channels, np.float32), None)


def largest_order(columns: int) -> int:
    """Return how many parts of rows are mixed: as many as can be, or 1 where those are too few to gain."""
    order = max(order for order in HADAMARD_ORDERS if can_mix(columns, order))
    return order if order >= FEWEST_PARTS else 1


def choose_affine(
    edge: EdgeStatistics,
    weight: Array,
    rounding: Rounding,
    *,
    migration: float | str | None,
    shift: bool,
    places: Collection[int] = (),
    hadamard: int = 1,
) -> ChannelAffine:
    """Return the change with the least error of the products, by the statistics of their input.

    ``weight`` float32 [out, in] is that of all layers that read the edge. ``migration`` is "auto", an
    alpha, or None. Rows at ``places`` are shifted by their own means. ``hadamard`` parts of each are mixed.
    """
    offset = rounding.alike(shift_by_means(edge, places, shift=shift))
    candidates = [_affine(np.ones(offset.shape[1]), offset, None, places, hadamard)]
    if migration is not None:
        shifted = edge.affine(candidates[0].multiplier, offset)
        typical = np.sqrt(shifted.variance() + shifted.mean**2)
        size = rounding.alike(np.sqrt(typical * np.maximum(shifted.high, -shifted.low)))
        norms = rounding.alike(np.sqrt((weight.astype(np.float64) ** 2).sum(axis=0)))
        for alpha in ALPHAS if migration == "auto" else (float(migration),):
            scale = _floored(size) ** alpha / _floored(norms) ** (1 - alpha)
            multiplier = np.exp(np.log(scale).mean()) / scale
            candidates.append(_affine(multiplier, offset, alpha, places, hadamard))
        if migration != "auto":
            return candidates[-1]
    return min(candidates, key=lambda each: estimate_error(edge, weight, each, rounding))


def shift_by_means(edge: EdgeStatistics, places: Collection[int], *, shift: bool) -> Array:
    """Return offsets float64 [3, channels]: minus the means of rows at ``places``, and of all others.

    Without ``shift`` those of the others are 0.
    """
    others = [place for place in range(len(PLACES)) if place not in places]
    offset = np.tile(-edge.mean_of(others) if shift else np.zeros(edge.means.shape[1]), (len(PLACES), 1))
    for place in places:
        offset[place] = -edge.means[place]
    return offset


def estimate_error(edge: EdgeStatistics, weight: Array, affine: ChannelAffine, rounding: Rounding) -> float:
    """Return the mean square error of a row's products, summed over their columns.

    A number rounded to a step of ``d`` is wrong by ``d^2 / 12``, and the errors are independent.
    """
    # What is mixed has the same size, but for a factor: its covariance need not be made.
    changed = replace(affine, hadamard=1).statistics(edge)
    sample = mix_parts(changed.sample, affine.hadamard)
    weights = affine.weight(weight).astype(np.float64)
    low = np.minimum(sample.min(axis=1), 0).astype(np.float64)
    high = np.maximum(sample.max(axis=1), 0).astype(np.float64)
    if rounding.static:
        low, high = low.min(), high.max()
    from_activations = ((high - low) ** 2).mean() / (12 * 255**2) * (weights**2).sum()
    steps = np.abs(weights).max(axis=1) / rounding.weight_limit
    power = affine.hadamard * (changed.variance().sum(dtype=np.float64) + (changed.mean**2).sum())
    from_weights = (steps**2).sum() / 12 * power
    return float(from_activations + rounding.weight_share * from_weights)


def _affine(
    multiplier: Array, offset: Array, alpha: float | None, places: Collection[int], hadamard: int
) -> ChannelAffine:
    multiplier = multiplier.astype(np.float32)
    offsets = (offset * multiplier).astype(np.float32)
    own = {place: offsets[place] for place in sorted(places)}
    return ChannelAffine(multiplier, offsets[0], alpha, own, hadamard)


def _floored(values: Array) -> Array:
    return np.asarray(np.maximum(values, SMALLEST_SHARE * median_of_used(values)))
