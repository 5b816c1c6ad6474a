"""What a bulk job costs beside the model: reading and writing alone, and the job next to a bare ``encode``.

``python benchmarks/bulk.py FILE.bertc --data sts-test.csv [--rows 100000] [--model-rows 20000]``

Every line is a fresh process. The first ones run a model that costs nothing (zeros), over a parquet file of
sentences, and tell seconds and peak memory by the number of rows; the last ones run the model, the job and
``encode`` of the same rows in turns.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as arrow
from markdown_tables import table
from pyarrow import parquet

import bertc
from bertc.bench.memory import resident_mb
from bertc.bulk import work
from bertc.bulk.job import JobSettings, run_job
from bertc.bulk.results import Answering, Question, answering
from bertc.evaluation import sts

ROUNDS = 3


def write_rows(path: Path, texts: list[str], rows: int) -> None:
    """Write so many rows with ids, the texts again and again, in row groups of 50,000."""
    schema = arrow.schema({"id": arrow.int64(), "text": arrow.string()})
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 50_000):
            ids = range(start, min(start + 50_000, rows))
            columns = {"id": list(ids), "text": [texts[row % len(texts)] for row in ids]}
            writer.write_table(arrow.table(columns, schema=schema))


def free(encoder: Any, question: Question) -> Answering:
    """Return a model that answers with zeros at once."""
    real = answering(encoder, question)
    zeros = np.zeros((8192, encoder.dimensions), np.float32)
    return Answering(lambda items: zeros[: len(items)], real.fields, real.columns)


def child(kind: str, file: str, rows: str) -> None:
    """Print the seconds of a job, and the peak of this process in megabytes."""
    encoder = bertc.load(file)
    texts = parquet.read_table(rows).column("text").to_pylist() if kind == "encode" else []
    start = time.perf_counter()
    if kind == "encode":
        encoder.encode(texts)
    else:
        make = free if kind == "free" else answering
        with tempfile.TemporaryDirectory() as folder, patch.object(work, "answering", make):
            run_job(encoder, JobSettings(rows, Path(folder) / "out", Question("encode")))
    memory = resident_mb()
    print(time.perf_counter() - start, memory["VmHWM"] if memory else 0)


def measure(kind: str, file: Path, rows: Path) -> tuple[float, float]:
    """Return the seconds and megabytes of a fresh process."""
    command = [sys.executable, __file__, "--child", kind, str(file), str(rows)]
    seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(peak)


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="a file of the STS benchmark")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--model-rows", type=int, default=20_000)
    arguments = parser.parse_args()
    texts = [text for pair in sts.read(arguments.data) for text in (pair.first, pair.second)]
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.parquet"
        for count in arguments.rows:
            write_rows(rows, texts, count)
            seconds, peak = measure("free", arguments.file, rows)
            lines.append(
                ["a free model", f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{peak:.0f}"]
            )
        count = arguments.model_rows
        write_rows(rows, texts, count)
        found: dict[str, list[tuple[float, float]]] = {"job": [], "encode": []}
        for _ in range(ROUNDS):
            for kind in found:
                found[kind].append(measure(kind, arguments.file, rows))
        for kind, values in found.items():
            seconds, peak = (median(column) for column in zip(*values, strict=True))
            lines.append([kind, f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{peak:.0f}"])
    print("\n".join(table(["", "rows", "seconds", "rows/s", "peak, MB"], lines)))


if __name__ == "__main__":
    main()
