"""A ratchet: the main kernels take the instructions that are written down, no more and no fewer.

A constant that slips (rows of a block, columns of a panel), a spilled register or a loop that is no longer
unrolled shows here, where a time on a shared machine would not.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from bertc import _native
from tests.native import instruction_counts
from tests.support.sanitizers import under_address_sanitizer

RECORD: dict[str, Any] = json.loads(instruction_counts.RECORD.read_text("utf-8"))
TOLERANCE = 0.005
"""Counts of the same code differ by 0.04 %; blocks of 128 rows for 48 change a product by 0.1 to 1.4 %."""


@pytest.fixture(scope="module")
def counts() -> dict[str, int]:
    missing = instruction_counts.what_is_missing()
    if missing:
        pytest.skip(missing)
    if under_address_sanitizer():
        pytest.skip("AddressSanitizer adds instructions")
    if _native.compiler() != RECORD["compiler"]:
        pytest.skip(f"counts are for {RECORD['compiler']}, the native core is built by {_native.compiler()}")
    return instruction_counts.measure()


@pytest.mark.parametrize("isa", instruction_counts.ISAS)
@pytest.mark.parametrize("case", instruction_counts.OUTPUTS)
def test_a_kernel_takes_the_instructions_written_down(counts: dict[str, int], case: str, isa: str) -> None:
    found, expected = counts[f"{case} {isa}"], RECORD["counts"][f"{case} {isa}"]
    assert abs(found / expected - 1) <= TOLERANCE, (
        f"{found:,} instructions, {expected:,} written down: find out why; if it is meant to be so, "
        f"python -m {instruction_counts.MODULE} --write"
    )


def test_nothing_else_is_written_down() -> None:
    cases = {f"{case} {isa}" for case in instruction_counts.OUTPUTS for isa in instruction_counts.ISAS}
    assert set(RECORD["counts"]) == cases
