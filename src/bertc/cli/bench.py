"""``bertc bench``: how fast a file is on this machine."""

from __future__ import annotations

import platform
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import AsJson, ModelFile, Threads, print_facts, print_json, print_table, status

if TYPE_CHECKING:
    from bertc.encoder import Encoder

COLUMNS = {
    "batch": "batch",
    "length": "length",
    "p50_ms": "p50 ms",
    "p90_ms": "p90 ms",
    "p99_ms": "p99 ms",
    "sequences_per_second": "sequences/s",
    "tokens_per_second": "tokens/s",
    "gops": "GOP/s",
    "repeats": "repeats",
}


def command(
    file: ModelFile,
    batch: Annotated[str, typer.Option(help="Sequences per run, comma-separated.")] = "1,8,32",
    length: Annotated[str, typer.Option(help="Tokens per sequence, comma-separated.")] = "16,128",
    source: Annotated[
        str | None, typer.Option("--input", "-i", help="Also time the texts of this file, in one call.")
    ] = None,
    column: Annotated[str, typer.Option(help="Where .jsonl and .parquet have the text.")] = "text",
    warmup: Annotated[int, typer.Option(min=0, help="Runs before measuring.")] = 3,
    repeats: Annotated[int, typer.Option(min=1, help="Measured runs per shape, at most.")] = 50,
    seconds: Annotated[float, typer.Option(min=0, help="Time per shape, about.")] = 2.0,
    startup: Annotated[bool, typer.Option(help="Time the start of a process, by phase.")] = True,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Measure latency and throughput on fixed shapes and on texts, and the time to start."""
    from bertc.bench.latency import Effort, time_shape
    from bertc.bench.startup import measure_startup
    from bertc.encoder import load

    batches, lengths = _numbers(batch, "--batch"), _numbers(length, "--length")
    effort = Effort(warmup, repeats, seconds)
    encoder = load(file, num_threads=threads)
    report: dict[str, Any] = {"machine": _machine(file, encoder), "shapes": []}
    for tokens in lengths:
        for sequences in batches:
            with status(f"{sequences} x {tokens}"):
                timing = time_shape(encoder.session, sequences, tokens, effort)
            report["shapes"].append({"batch": sequences, "length": tokens, **asdict(timing)})
    if source is not None:
        with status(source):
            report["texts"] = {"source": source, **asdict(_time_file(encoder, source, column, effort))}
    if startup:
        with status("starting"):
            report["startup_ms"] = measure_startup(file)
    if as_json:
        print_json(report)
    else:
        _print(report)


def _time_file(encoder: Encoder, source: str, column: str, effort: Any) -> Any:
    from bertc.bench.latency import time_texts
    from bertc.files.texts import read_texts

    return time_texts(encoder, [record.text for record in read_texts(source, column)], effort)


def _machine(file: Path, encoder: Encoder) -> dict[str, Any]:
    """What a reader needs to know to compare figures."""
    from bertc.version import __version__

    return {
        "file": str(file),
        "model": encoder.info.name,
        "dtype": encoder.artifact.manifest.recipe.get("dtype"),
        "isa": encoder.session.isa,
        "threads": encoder.session.num_threads,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "bertc": __version__,
    }


def _numbers(text: str, name: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"{text!r}: expected whole numbers from 1, as in 1,8,32", param_hint=name)
    return numbers


def _print(report: dict[str, Any]) -> None:
    print_facts("machine", report["machine"])
    rows = [[shape[key] for key in COLUMNS] for shape in report["shapes"]]
    print_table("fixed shapes, random ids, without tokenizing", list(COLUMNS.values()), rows)
    if "texts" in report:
        texts = report["texts"]
        keys = ("sequences", "tokens", *(key for key in COLUMNS if key in texts))
        headings = [COLUMNS.get(key, key) for key in keys]
        print_table(f"{texts['source']}, with tokenizing", headings, [[texts[key] for key in keys]])
    if "startup_ms" in report:
        phases = report["startup_ms"]
        print_table("start of a process, ms", list(phases), [list(phases.values())])
