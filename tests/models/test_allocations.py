"""A warm run allocates nothing: counted in a process whose allocator is ours.

The whole native call is counted, arguments included, in all threads; the arrays that it fills are made
before. What small objects Python itself makes comes from memory that it has already.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.artifacts import Artifacts
from tests.support.preload import SUPPORT, compile_library, needs_c_compiler, preloading
from tests.support.sanitizers import under_address_sanitizer

pytestmark = [
    pytest.mark.native,
    pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the counting allocator is for glibc"),
    needs_c_compiler,
    pytest.mark.skipif(under_address_sanitizer(), reason="AddressSanitizer has an allocator of its own"),
]


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_library("count_allocations.c", tmp_path_factory.mktemp("counter"))


def counts(counter: Path, artifact: Path, threads: int) -> list[dict[str, Any]]:
    """What ``count_allocations.py`` tells of the file, a row for each batch."""
    command = [sys.executable, str(SUPPORT / "count_allocations.py"), str(artifact), str(threads)]
    child = subprocess.run(command, capture_output=True, text=True, env=preloading(counter))
    assert child.returncode == 0, child.stderr
    rows: list[dict[str, Any]] = json.loads(child.stdout)
    return rows


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["int8", "bf16", "fp32"])
def test_a_warm_run_allocates_nothing(counter: Path, artifacts: Artifacts, dtype: str, threads: int) -> None:
    file = artifacts.tiny(dtype, pooling="mean", max_position_embeddings=512)
    rows = counts(counter, file, threads)
    assert {row["cooperative"] for row in rows} == ({False} if threads == 1 else {False, True})
    assert rows[0]["cold"] > 0  # the counter counts
    assert [row["warm"] for row in rows] == [0] * len(rows)
