"""A program to run with a counting allocator (``count_allocations.c``, preloaded): ``FILE THREADS``.

It prints a JSON row for each batch: allocations of its first run and of ten later ones, among which are
runs of the other batches.
"""

from __future__ import annotations

import ctypes
import json
import sys
from typing import Any

import numpy as np

from bertc.artifact.reader import open_artifact
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import Session

BATCHES = ([512], [16], [7] * 60, [300, 20, 40, 5, 128], [1])
"""The lengths of each batch's sequences. With two threads, some batches run by each schedule."""


def main(path: str, threads: int) -> list[dict[str, Any]]:
    """Run all batches and return the allocations of each."""
    counter = ctypes.CDLL(None)
    session = Session(open_artifact(path).executable, num_threads=threads)
    rows = []
    calls = []
    for lengths in BATCHES:
        cu_seqlens = np.cumsum([0, *lengths], dtype=np.int32)
        ids = np.arange(cu_seqlens[-1], dtype=np.int32) % 250
        batch = PackedBatch({"input_ids": ids}, cu_seqlens)
        _, arguments = session._bind(batch, None)
        calls.append(arguments)
        counter.start_counting()
        session._native.run(*arguments)
        cold = counter.stop_counting()
        rows.append({"cold": cold, "cooperative": session.profile(batch).cooperative, "warm": 0})
    for _ in range(10):
        for row, arguments in zip(rows, calls, strict=True):
            counter.start_counting()
            session._native.run(*arguments)
            row["warm"] += counter.stop_counting()
    return rows


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
