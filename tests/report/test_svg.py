from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bertc.report.svg import Scale, element, picture, text, titled

numbers = st.floats(allow_nan=False, allow_infinity=False)


def test_a_scale_maps_ends_to_ends() -> None:
    scale = Scale(10, 20, 100, 300)
    assert (scale(10), scale(15), scale(20)) == (100, 200, 300)
    assert (scale(-5), scale(99)) == (100, 300)
    upward = Scale(0, 1, 300, 100)
    assert upward(0.25) == 250


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 40, [0, 10, 20, 30, 40]), (-0.2, 1, [-0.2, 0, 0.2, 0.4, 0.6, 0.8, 1]), (1, 3, [1, 1.5, 2, 2.5, 3])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert Scale(low, high, 0, 1).ticks() == pytest.approx(expected, abs=1e-12)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(low=numbers, high=numbers, value=numbers)
def test_any_numbers_give_pixels_inside(low: float, high: float, value: float) -> None:
    scale = Scale(low, high, 8, 262)
    assert 8 <= scale(value) <= 262
    ticks = scale.ticks()
    assert len(ticks) <= 12 and all(map(math.isfinite, ticks))


def test_text_is_escaped() -> None:
    assert text("<b>&", 1, 2).count("<") == 2
    assert "&lt;b&gt;" in titled("", "<b>")
    assert "&quot;" in picture([], 1, 1, '"<')


def test_attributes_are_named_as_in_svg() -> None:
    assert (
        element("g", "x", class_="a", text_anchor="end", x=1.5)
        == '<g class="a" text-anchor="end" x="1.5">x</g>'
    )
