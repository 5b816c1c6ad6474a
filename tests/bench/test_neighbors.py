"""Busy programs run beside the engines, and end with the measurement."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertc.bench.neighbors import busy_neighbors

CHILDREN = Path(f"/proc/self/task/{os.getpid()}/children")


@pytest.mark.skipif(not CHILDREN.exists(), reason="the system does not list the children of a process")
def test_neighbors_run_while_the_block_does() -> None:
    before = set(CHILDREN.read_text().split())
    with busy_neighbors(2):
        neighbors = set(CHILDREN.read_text().split()) - before
        assert len(neighbors) == 2
        for each in neighbors:
            assert len(os.sched_getaffinity(int(each))) == 1
    assert not neighbors & set(CHILDREN.read_text().split())


def test_without_neighbors_nothing_is_started() -> None:
    with busy_neighbors(0):
        pass
