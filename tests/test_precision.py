"""The table of precisions: its rows fit each other, and what is derived from it is what users may name."""

from __future__ import annotations

import pytest

from bertc.cli.console import DTypeName
from bertc.precision import DTYPES, FP32, LAYER_DTYPES, PRECISIONS, TABLE_DTYPES, WEIGHT_BITS, integers
from bertc.quantize.costs import GIGAOPS


def test_what_users_may_name() -> None:
    assert DTYPES == ("fp32", "bf16", "int8")
    assert LAYER_DTYPES == ("fp32", "bf16", "int8", "int7")
    assert TABLE_DTYPES == ("fp32", "fp16", "int8")
    assert {name.value for name in DTypeName} == set(DTYPES)


@pytest.mark.parametrize("name", PRECISIONS)
def test_rows_name_each_other(name: str) -> None:
    row = PRECISIONS[name]
    assert row.name == name and row.table in TABLE_DTYPES and row.form in (*DTYPES, "")
    assert PRECISIONS[row.table].significant_bits >= row.significant_bits


@pytest.mark.parametrize("column", ["fallback", "table_fallback"])
def test_fallbacks_gain_bits_until_nothing_is_lost(column: str) -> None:
    for name in LAYER_DTYPES if column == "fallback" else TABLE_DTYPES:
        row = PRECISIONS[name]
        while (following := getattr(row, column)) is not None:
            assert PRECISIONS[following].significant_bits > row.significant_bits
            row = PRECISIONS[following]
        assert row.name == FP32


def test_integers_are_found_by_their_bits() -> None:
    assert all(integers(bits).name == name for name, bits in WEIGHT_BITS.items())


@pytest.mark.parametrize("isa", GIGAOPS)
def test_every_precision_that_nodes_compute_in_has_a_rate(isa: str) -> None:
    assert set(GIGAOPS[isa]) == set(LAYER_DTYPES)
