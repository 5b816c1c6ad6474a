"""Arrays that another thread changes during a call: what was checked is what is used."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import bertc
from tests.hostile.changing_arrays import ENOUGH
from tests.hostile.conftest import TIMEOUT


@pytest.fixture(scope="module")
def path(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bertc.compile(checkpoint, tmp_path_factory.mktemp("changing") / "tiny.bertc").path


@pytest.mark.parametrize("array", ["input_ids", "cu_seqlens", "token_type_ids", "position_ids"])
def test_a_call_whose_array_changes_is_right_or_refused(path: Path, array: str) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "tests.hostile.changing_arrays", str(path), array],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        cwd=Path(__file__).parent.parent.parent,
    )
    assert child.returncode == 0, child.stderr[-4000:]
    counts = json.loads(child.stdout)
    assert min(counts["right"], counts["refused"]) >= ENOUGH
