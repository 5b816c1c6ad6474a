"""Measures the resident memory of a fresh process that loads a file and runs it (Linux).

``python -m bertc.bench.memory FILE THREADS BATCH LENGTH`` is that process: it prints one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bertc.bench.fresh_process import run_module

FIELDS = ("VmRSS", "VmHWM", "RssAnon", "RssFile")
"""The kinds of resident memory: now, at most so far, the process's own, mapped files (model, libraries)."""
SHAPE = (32, 128)
"""The batch and length at which memory is judged."""


def resident_mb() -> dict[str, float] | None:
    """Return ``FIELDS`` of this process in 10^6 bytes; None where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    values = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines() if ":" in line)
    return {field: int(values[field].split()[0]) * 1024 / 1e6 for field in FIELDS}


def measure_memory(path: Path, threads: int, shape: tuple[int, int] = SHAPE) -> dict[str, float] | None:
    """Measure a process that runs the shape: ``peak_mb``, ``weights_mb`` of it, and the rest, ``beyond_mb``.

    The part ``private_mb`` of the rest is the process's own, the other is pages of libraries: how many
    of those are resident is up to the page cache, 8 MB more right after an installation than hours
    later. The weights are all tensors of the file, whether or not their pages were touched. Returns
    None where the system does not tell. Raises ``BertcError`` if the process fails.
    """
    found: dict[str, float] | None = run_module(
        "bertc.bench.memory", path, threads, *shape, purpose="measuring memory"
    )
    return found


def _child(path: str, threads: int, batch: int, length: int) -> dict[str, float] | None:
    """Load as a user does, and run the shape until nothing grows any more."""
    import numpy as np

    from bertc.bench.ours import CompiledModel

    model = CompiledModel(Path(path), threads)
    info = model.encoder.info
    length = min(length, info.longest_sequence)
    # Ids from all over the table; numpy.random, which nobody needs to embed texts, would take 3 MB.
    ids = (np.arange(batch * length, dtype=np.int64) * 7919 % info.size("vocab_size")).reshape(batch, length)
    run = model.bind(ids, np.ones_like(ids))
    for _ in range(3):
        run()
    memory = resident_mb()
    if memory is None:
        return None
    tensors = model.encoder.artifact.executable.tensors.values()
    weights = sum(tensor.array.nbytes for tensor in tensors) / 1e6
    return {
        "batch": batch,
        "length": length,
        "peak_mb": memory["VmHWM"],
        "weights_mb": weights,
        "beyond_mb": memory["VmHWM"] - weights,
        "private_mb": memory["RssAnon"],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_child(sys.argv[1], *map(int, sys.argv[2:5]))) + "\n")
