"""The machine's limits: every instruction set and dtype has one, and operations are counted right."""

from __future__ import annotations

import pytest

from bertc import _native
from bertc.bench import peaks
from bertc.errors import InputError

ROWS_TIMES_COLUMNS = {
    "scalar": 3 * 16,
    "avx2": 6 * 16,
    "avx_vnni": 6 * 16,
    "avx512_vnni": 6 * 64,
    "avx512_bf16": 6 * 64,
}


def test_every_instruction_set_and_dtype_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peaks, "SECONDS", 0.001)
    monkeypatch.setattr(peaks, "TRIALS", 1)
    monkeypatch.setattr(peaks, "MEMORY_BYTES", 2**20)
    found = peaks.measure_peaks(threads=2)
    assert list(found.gops) == _native.supported_isas()
    assert all(
        list(row) == ["fp32", "bf16", "int8", "int8 fours"] and min(row.values()) > 0
        for row in found.gops.values()
    )
    assert found.memory_gb_per_second > 0


@pytest.mark.parametrize("isa", _native.supported_isas())
def test_operations_are_those_of_a_tile(isa: str) -> None:
    """One iteration is one step of the float32 micro-kernel: two operations per sum."""
    assert _native.run_peak(isa, "f32", 10) == 10 * 2 * ROWS_TIMES_COLUMNS[isa]


def test_a_dtype_without_products_is_refused() -> None:
    with pytest.raises(InputError, match="f32, bf16, i8 and i8_fours"):
        _native.run_peak("scalar", "f16", 1)
