"""Resident memory of a process that loads a file and runs it, told by a fresh process (Linux).

``python -m bertc.bench.memory FILE THREADS BATCH LENGTH`` is that process: it prints one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from bertc.errors import BertcError

FIELDS = ("VmRSS", "VmHWM", "RssAnon", "RssFile")
"""Resident now, at most so far, of the process alone, of mapped files (the model, libraries)."""
SHAPE = (32, 128)
"""Batch and length at which memory is judged."""
ALLOWANCE_MB = 60
"""What a process may take beyond the model's mapped tensors: Python, NumPy, tokenizer, activations."""


def resident_mb() -> dict[str, float] | None:
    """``FIELDS`` of this process in 10^6 bytes; None where the system does not tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    values = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines() if ":" in line)
    return {field: int(values[field].split()[0]) * 1024 / 1e6 for field in FIELDS}


def measure_memory(path: Path, threads: int, shape: tuple[int, int] = SHAPE) -> dict[str, float] | None:
    """``peak_mb`` of a process that runs the shape, ``weights_mb`` mapped of it, ``beyond_mb`` what is left.

    ``private_mb`` of that is the process's own, the rest is pages of libraries: how many of those are
    resident is up to the page cache, 8 MB more right after an installation than hours later. The
    weights are the file's tensors, all of them, whether or not their pages were touched. None where
    the system does not tell. Raises ``BertcError`` if the process fails.
    """
    command = [sys.executable, "-m", "bertc.bench.memory", str(path), str(threads), *map(str, shape)]
    child = subprocess.run(command, capture_output=True, text=True)
    if child.returncode:
        lines = child.stderr.strip().splitlines() or ["no message"]
        raise BertcError(f"measuring memory failed: {lines[-1]}")
    result: dict[str, float] | None = json.loads(child.stdout)
    return result


def _child(path: str, threads: int, batch: int, length: int) -> dict[str, float] | None:
    """Load as a user does, and run the shape until nothing grows any more."""
    import numpy as np

    from bertc.bench.ours import main_output
    from bertc.encoder import load

    encoder = load(path, num_threads=threads)
    length = min(length, encoder.info.max_position_embeddings)
    # Ids from all over the table; numpy.random, which nobody needs to embed texts, would take 3 MB.
    ids = (np.arange(batch * length, dtype=np.int64) * 7919 % encoder.info.vocab_size).astype(np.int32)
    cu_seqlens = np.arange(0, batch * length + 1, length, dtype=np.int32)
    for _ in range(3):
        encoder.session.run(ids, cu_seqlens, outputs=main_output(encoder.session))
    memory = resident_mb()
    if memory is None:
        return None
    weights = sum(entry.nbytes for entry in encoder.artifact.tensors.values()) / 1e6
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
