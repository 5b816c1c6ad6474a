from __future__ import annotations

from pathlib import Path

import pytest

from bertc.bench.startup import PHASES, measure_startup
from bertc.errors import BertcError
from tests.conftest import MakeArtifact


def test_phases_add_up(artifact: MakeArtifact) -> None:
    times = measure_startup(artifact(), repeats=1)
    assert set(times) == {*PHASES, "total", "whole"}
    assert all(value >= 0 for value in times.values())
    assert times["total"] == pytest.approx(sum(times[phase] for phase in PHASES))


def test_a_failing_child_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BertcError, match=r"measuring the start failed: .*cannot open"):
        measure_startup(tmp_path / "none.bertc")
