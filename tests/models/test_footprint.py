"""What a process takes that embeds with the int8 file: memory, by the script that reports it.

Start-up time, by ``benchmarks/startup.py``, is not asserted: it is the machine's as much as ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bertc.bench.memory import SHAPE, measure_memory
from tests.support.artifacts import Artifacts
from tests.support.real_data import MINILM
from tests.support.sanitizers import under_address_sanitizer

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PRIVATE_MB = 34
"""Of the 60 MB that a process may take beyond the weights, what does not depend on the page cache:
heaps, the tokenizer, activations. 29 to 30 were found."""


def run_script(name: str, *arguments: str) -> Any:
    """The JSON that a benchmark prints."""
    command = [sys.executable, str(BENCHMARKS / name), *arguments, "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}  # memory grows with the threads
    child = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert child.returncode == 0, child.stderr
    return json.loads(child.stdout)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.skipif(under_address_sanitizer(), reason="AddressSanitizer takes memory")
def test_a_process_that_embeds_takes_at_most_120_megabytes(artifacts: Artifacts) -> None:
    answer = run_script("memory.py", str(artifacts.real(MINILM, "int8")), "--long", "20")
    highest = {step: row["VmHWM"] for step, row in answer["megabytes"].items()}
    assert len(highest) == 6 and answer["judged"]["beyond_mb"] > 0
    assert max(highest.values()) <= 120, highest


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.skipif(under_address_sanitizer(), reason="AddressSanitizer takes memory")
@pytest.mark.parametrize("dtype", ["int8", "bf16", "fp32"])
def test_a_process_takes_its_weights_and_little_more(artifacts: Artifacts, dtype: str) -> None:
    found = measure_memory(artifacts.real(MINILM, dtype), threads=2)
    assert found is not None and (found["batch"], found["length"]) == SHAPE
    assert 0 < found["private_mb"] <= PRIVATE_MB < found["beyond_mb"], found


def test_start_up_is_measured_in_parts(artifacts: Artifacts) -> None:
    answer = run_script("startup.py", str(artifacts.tiny("int8")), "--repeats", "1")
    assert {"whole", "import", "tokenizer"} <= answer["times"].keys()
    assert all(row["median_ms"] >= row["least_ms"] >= 0 for row in answer["times"].values())
