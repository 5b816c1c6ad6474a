from __future__ import annotations

import numpy as np
import pytest

from bertc.ir.formulas import dequantize_rows, quantize_static
from bertc.quantize.static_scales import covered_range, group_channels, static_scale
from bertc.recipe import ActivationScheme, Observer
from tests.support.edges import changed, normal, outlier_channels, relative_error, skewed_gelu, statistics_of

MAX = Observer(kind="max")


def _scheme(size: int, *, symmetric: bool = False) -> ActivationScheme:
    return ActivationScheme(
        mode="static", granularity="per_channel_group", group_size=size, symmetric=symmetric, observer=MAX
    )


def test_the_whole_range_is_covered_and_no_more() -> None:
    x = skewed_gelu()
    static = static_scale(statistics_of(x), MAX, symmetric=False)
    low, high = covered_range(static)
    step = static.scale
    assert x.min() - step < low <= x.min() + step / 2
    assert x.max() - step / 2 <= high < x.max() + step


def test_a_symmetric_range_has_its_zero_point_in_the_middle() -> None:
    static = static_scale(statistics_of(skewed_gelu()), MAX, symmetric=True)
    assert static.zero_point == 128
    assert covered_range(static)[1] == pytest.approx(skewed_gelu().max())


@pytest.mark.parametrize("size", [1, 16, 30, 64, 100])
@pytest.mark.parametrize("symmetric", [True, False])
def test_groups_of_channels_come_to_one_range_each(size: int, symmetric: bool) -> None:
    """A last group may be smaller; a group as large as all is the whole."""
    x = outlier_channels()
    affine = group_channels(statistics_of(x), _scheme(size, symmetric=symmetric), MAX)
    z = changed(x, affine)
    for start in range(0, x.shape[1], size):
        group = z[:, start : start + size]
        ends = (-np.abs(group).max(), np.abs(group).max()) if symmetric else (group.min(), group.max())
        np.testing.assert_allclose(ends, (-1, 1), atol=1e-2 if group.min() < 0 < group.max() else 1)
        assert len(set(affine.multiplier[start : start + size])) == 1
    assert bool(affine.offset.any()) != symmetric


def test_a_group_of_zeros_is_harmless() -> None:
    x = normal()
    x[:, :16] = 0
    affine = group_channels(statistics_of(x), _scheme(16), MAX)
    assert np.isfinite(affine.multiplier).all()
    assert not changed(x, affine)[:, :16].any()


def test_groups_leave_the_error_of_outliers_to_their_own_group() -> None:
    """Two outliers in groups of their own: the other 48 channels have all of 8 bits."""
    x, errors = outlier_channels(), {}
    quiet = [c for c in range(64) if c // 8 not in (0, 5)]
    for size in (8, 64):
        affine = group_channels(statistics_of(x), _scheme(size), MAX)
        edge = affine.statistics(statistics_of(x))
        static = static_scale(edge, MAX, symmetric=False)
        rounded = dequantize_rows(*quantize_static(changed(x, affine), *static))
        found = (rounded - affine.offset) / affine.multiplier
        errors[size] = relative_error(x[:, quiet], found[:, quiet])
    assert errors[8] < 0.002 * errors[64]
