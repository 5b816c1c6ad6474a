"""What a bulk job costs beside the model: reading and writing alone, and the job next to a bare ``encode``.

``python benchmarks/bulk.py FILE.bertc --data sts-test.csv [--rows 100000] [--model-rows 20000]``

Every line is a fresh process. The first ones run a model that costs nothing (zeros), over a parquet file of
sentences, and tell seconds and peak memory by the number of rows; the next ones run the model, the job and
``encode`` of the same rows in turns. ``--scale-rows 10000 100000 1000000`` runs the job once for each number,
and tells how much rows/s differ. ``--kills 20`` kills jobs at random places and resumes them, and fails if a
row is there twice or not at all, a byte differs, or a process had to do more than a shard again.
``--ray 500000`` runs the free model on a Ray cluster of this machine, as a job and in ``map_batches``, over a
tenth of the rows and over all, and tells what is between them.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as arrow
from markdown_tables import table
from pyarrow import dataset, parquet

import bertc
from bertc.bench.memory import resident_mb
from bertc.bulk import work
from bertc.bulk.job import JobSettings, run_job
from bertc.bulk.output import MANIFEST, SUCCESS
from bertc.bulk.results import Answering, Question, answering
from bertc.evaluation import sts

ROUNDS = 3
KILL_ROWS = 20_000
KILL_SHARD_ROWS = 500
"""Enough shards that a kill falls anywhere between reading, running, writing and the manifest."""


def write_rows(path: Path, texts: list[str], rows: int, group: int = 50_000) -> None:
    """Write so many rows with ids, the texts again and again, in row groups."""
    schema = arrow.schema({"id": arrow.int64(), "text": arrow.string()})
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, group):
            ids = range(start, min(start + group, rows))
            columns = {"id": list(ids), "text": [texts[row % len(texts)] for row in ids]}
            writer.write_table(arrow.table(columns, schema=schema))


def free(encoder: Any, question: Question) -> Answering:
    """Return a model that answers with zeros at once."""
    real = answering(encoder, question)
    zeros = np.zeros((65536, encoder.dimensions), np.float32)
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


def victim(file: str, rows: str, folder: str, instances: str) -> None:
    """Run a job that is killed some time."""
    settings = JobSettings(
        rows, Path(folder), Question("encode"), resume=True, instances=int(instances),
        shard_rows=KILL_SHARD_ROWS,
    )  # fmt: skip
    run_job(bertc.load(file), settings)


def measure(kind: str, file: Path, rows: Path) -> tuple[float, float]:
    """Return the seconds and megabytes of a fresh process."""
    command = [sys.executable, __file__, "--child", kind, str(file), str(rows)]
    seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(peak)


def line(kind: str, count: int, seconds: float, peak: float) -> list[str]:
    """Return a line of the table."""
    return [kind, f"{count:,}", f"{seconds:.2f}", f"{count / seconds:,.0f}", f"{peak:.0f}"]


def in_turns(file: Path, rows: Path, count: int) -> list[list[str]]:
    """Return lines of the job and of ``encode``, medians of fresh processes in turns."""
    found: dict[str, list[tuple[float, float]]] = {"job": [], "encode": []}
    for _ in range(ROUNDS):
        for kind in found:
            found[kind].append(measure(kind, file, rows))
    medians = {kind: [median(column) for column in zip(*found[kind], strict=True)] for kind in found}
    return [line(kind, count, seconds, peak) for kind, (seconds, peak) in medians.items()]


def by_rows(file: Path, rows: Path, texts: list[str], counts: list[int]) -> tuple[list[list[str]], str]:
    """Return a line of the job for each number of rows, and how far their speeds are apart."""
    lines, speeds = [], []
    for count in counts:
        write_rows(rows, texts, count)
        seconds, peak = measure("job", file, rows)
        lines.append(line("job by rows", count, seconds, peak))
        speeds.append(count / seconds)
    apart = 100 * (max(speeds) / min(speeds) - 1)
    return lines, f"From {min(counts):,} to {max(counts):,} rows, rows/s differ by {apart:.1f} %."


def kill_at_random(file: Path, rows: Path, texts: list[str], times: int, instances: int) -> str:
    """Kill jobs at random places, resume each, and raise ``AssertionError`` for a row that is wrong.

    A place is a time between the first line of the manifest and the end of a job that nobody kills.
    """
    write_rows(rows, texts, KILL_ROWS, KILL_SHARD_ROWS)
    again, seed = [], random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        whole, seconds = Path(name) / "whole", 0.0
        for number in range(-1, times):
            out = whole if number < 0 else Path(name) / str(number)
            command = [sys.executable, __file__, "--victim", str(file), str(rows), str(out), str(instances)]
            process = subprocess.Popen(command, start_new_session=True)
            while not (out / MANIFEST).exists():
                time.sleep(0.001)
            start = time.perf_counter()
            if number < 0:
                process.wait()
                seconds = time.perf_counter() - start
                continue
            time.sleep(seed.uniform(0, seconds))
            os.killpg(process.pid, signal.SIGKILL)  # its instances, too
            process.wait()
            before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.parquet")}
            subprocess.run(command, check=True)
            again.append(check_killed(out, whole, before))
            assert again[-1] <= instances, f"{again[-1]} shards were done again by {instances} instances"
    return (
        f"{times} kills of {instances} instances: each id once, all bytes the same; at most {max(again)} "
        f"finished shards were done again, {sum(again)} in all."
    )


def check_killed(out: Path, whole: Path, before: dict[str, int]) -> int:
    """Return how many shards that were there before a job was resumed have been done again."""
    assert (out / SUCCESS).exists()
    ids = dataset.dataset(out, format="parquet").to_table(columns=["id"]).column("id").to_pylist()
    assert sorted(ids) == list(range(KILL_ROWS))
    files = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    assert files == {path.name: path.read_bytes() for path in whole.glob("*.parquet")}
    return sum((out / name).stat().st_mtime_ns != stamp for name, stamp in before.items())


def make_free() -> None:
    """Make the models of this process free; for processes of Ray."""
    from bertc import tables

    for module in (work, tables):
        vars(module)["answering"] = free


def on_ray(file: Path, rows: Path, texts: list[str], count: int) -> tuple[list[list[str]], str]:
    """Return lines of a free model on a cluster of this machine, and the seconds without start and end.

    Those are what ten times as many rows take longer.
    """
    import ray

    from bertc.ray import Embed, ship

    def job(source: Path, out: Path) -> None:
        settings = JobSettings(str(source), out, Question("encode"), shard_rows=10_000, ray="auto")
        run_job(bertc.load(file, num_threads=1), settings)

    def map_batches(source: Path, out: Path) -> None:
        data = ray.data.read_parquet(str(source)).map_batches(
            Embed,
            fn_constructor_kwargs={"model": model, "column": "text", "output": "embedding"},
            batch_format="pyarrow",
            batch_size=8192,
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=1,
        )
        data.write_parquet(str(out))

    hook = {"worker_process_setup_hook": make_free}
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level="error", runtime_env=hook)
    lines, notes = [], []
    try:
        model = ship(file)
        few = rows.with_name("few.parquet")
        for path, number in ((few, count // 10), (rows, count)):
            write_rows(path, texts, number, 10_000)
        for kind, run in {"job --ray, a free model": job, "map_batches, a free model": map_batches}.items():
            timed(run, few)
            short, long = timed(run, few), timed(run, rows)
            lines += [line(kind, count // 10, short, 0), line(kind, count, long, 0)]
            per = (long - short) / (count - count // 10) * 100_000
            notes.append(f"{kind}: {per:.2f} s for 100,000 rows, {short:.1f} s to start and for the first.")
    finally:
        ray.shutdown()
    return lines, " ".join(notes)


def timed(run: Callable[[Path, Path], None], source: Path) -> float:
    """Return the seconds of a run."""
    with tempfile.TemporaryDirectory() as name:
        start = time.perf_counter()
        run(source, Path(name) / "out")
        return time.perf_counter() - start


def arguments_of() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="a file of the STS benchmark")
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--model-rows", type=int, default=20_000, help="0: none")
    parser.add_argument("--scale-rows", type=int, nargs="*", default=[])
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--instances", type=int, default=1, help="of the jobs that are killed")
    parser.add_argument("--ray", type=int, default=0, metavar="ROWS", help="such as 500000")
    return parser.parse_args()


def main() -> None:
    """Print the table."""
    if sys.argv[1:2] in (["--child"], ["--victim"]):
        run: Callable[..., None] = child if sys.argv[1] == "--child" else victim
        run(*sys.argv[2:])
        return
    given = arguments_of()
    texts = [text for pair in sts.read(given.data) for text in (pair.first, pair.second)]
    lines, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.parquet"
        for count in given.rows:
            write_rows(rows, texts, count)
            lines.append(line("a free model", count, *measure("free", given.file, rows)))
        if given.model_rows:
            write_rows(rows, texts, given.model_rows)
            lines += in_turns(given.file, rows, given.model_rows)
        if given.scale_rows:
            more, note = by_rows(given.file, rows, texts, given.scale_rows)
            lines += more
            notes.append(note)
        if given.ray:
            more, note = on_ray(given.file, rows, texts, given.ray)
            lines += more
            notes.append(note)
        if given.kills:
            notes.append(kill_at_random(given.file, rows, texts, given.kills, given.instances))
    print("\n".join(table(["", "rows", "seconds", "rows/s", "peak, MB"], lines)))
    print("\n".join(notes))


if __name__ == "__main__":
    main()
