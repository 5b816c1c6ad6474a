"""Prints the tables of ``bertc load-test``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc.cli.console import print_facts, print_note, print_rows
from bertc.task_table import TASKS

COLUMNS = {
    "batch": "batch",
    "length": "length",
    "score": "",
    "samples_per_second": "samples/s",
    "spread_percent": "spread %",
    "kernel": "model alone, /s",
    "tokens_per_second": "tokens/s",
    "gops": "GOP/s",
    "p50_ms": "p50 ms",
    "p90_ms": "p90 ms",
    "p95_ms": "p95 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "service_p99_ms": "p99 ms of service",
    "joules_per_sample": "J/sample",
    "padding_percent": "padding %",
    "requests": "requests",
}
"""The columns of a run, with their headings; that of the score is its name."""


def print_run(run: Mapping[str, Any]) -> None:
    """Print a run: where, how, a row for each batch and length, and what a reader should beware of."""
    print_facts("machine", run["machine"])
    print_facts("file", {**run["file"], "model": run["model"]["name"], "commit": run["commit"]})
    print_facts("load", {key: value for key, value in run["settings"].items() if value not in (None, [])})
    task = TASKS[run["model"]["task"]]
    rows = merged(run["rows"], task.score)
    print_rows(_title(run), {**COLUMNS, "score": f"{task.score} x 100"}, rows)
    for row in rows:
        if not row.get("keeps_up", True):
            print_note(
                f"batch {row['batch']}, length {row['length']}: {row['requests_per_second']:,.1f} requests a "
                f"second were answered, of {row['offered_per_second']:,.1f} that arrived. The queue grows "
                f"without end, and latencies tell of how long this ran; {row['given_up']:,} were given up."
            )
    if run["settings"]["shares_cores"]:
        print_note("Instances shared processors: there are fewer than instances times threads.")


def merged(rows: list[dict[str, Any]], score: str) -> list[dict[str, Any]]:
    """Return a row for each batch and length: that of the calls, with the model's own rate beside it.

    Where only the model was timed, the row is its own.
    """
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in rows:
        key = row["batch"], row["length"]
        shown = found.setdefault(key, _shown(row, score))
        if row["scope"] == "kernel" and shown["scope"] != "kernel":
            shown["kernel"] = row["samples_per_second"]
    return list(found.values())


def _shown(row: dict[str, Any], score: str) -> dict[str, Any]:
    spread, scores = row["spread"], row["scores"]
    return {
        **dict.fromkeys(COLUMNS),
        **row,
        "length": "real" if row["length"] is None else str(row["length"]),
        "score": None if scores is None else scores["metrics"][score],
        "spread_percent": None if spread is None else 100 * spread,
        "joules_per_sample": row.get("energy", {}).get("joules_per_sample"),
    }


def _title(run: Mapping[str, Any]) -> str:
    settings = run["settings"]
    what = settings["source"] or f"{settings['fill']} ids"
    scopes = {row["scope"] for row in run["rows"]}
    timed = "with tokenizing" if "end_to_end" in scopes else "the model alone"
    loop = "closed loop" if settings["rate"] is None else f"{settings['rate']:g} requests arrive per second"
    return f"{what}, {timed}, {loop}"
