"""What comparisons with sentence-transformers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small matrices take longer with more threads, and many times so on a busy machine."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def compile_fp32(folder: Path) -> Any:
    """Compile a folder in fp32 and load it."""
    calibration = {"samples": 8, "held_out": 8}
    bertc.compile(folder, folder / "model.bertc", {"dtype": "fp32", "calibration": calibration})
    return bertc.load(folder / "model.bertc")


def assert_close(found: Any, expected: Any) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-4
