from __future__ import annotations

import numpy as np
import pytest

from bertc.runtime.session import Profile
from bertc.runtime.step_times import Times


def test_the_slower_half_of_the_runs_does_not_count() -> None:
    ticks = np.array([10, 20, 30, 40])
    profiles = [Profile(False, wall, np.array([[wall - 1, 1]]), wall * ticks) for wall in (30, 10, 20, 1000)]
    times = Times.of(profiles)
    assert times.wall == 15 and times.steps.tolist() == [14, 1] and times.threads == 1
    assert times.attention.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
