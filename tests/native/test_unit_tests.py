"""The unit tests of the native core, which ``make test`` builds along with the module."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

BUILD = Path(__file__).resolve().parents[2] / "build"
BINARIES = sorted(BUILD.glob("*/native_tests"), key=lambda path: path.stat().st_mtime)


@pytest.mark.skipif(not BINARIES, reason="native_tests is not built (CMake: BERTC_TESTS)")
def test_native_unit_tests_pass() -> None:
    done = subprocess.run([BINARIES[-1]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
