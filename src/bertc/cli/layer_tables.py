"""Prints the tables of ``bertc bench --layers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc.cli.bench_tables import print_peaks
from bertc.cli.console import print_note, print_table

FIGURES = {
    "ms": "ms",
    "percent_of_time": "% of time",
    "gops": "GOP/s",
    "percent_of_peak": "% of peak",
    "gb_per_second": "GB/s",
    "percent_of_bandwidth": "% of memory bandwidth",
}
SCHEDULES = {
    "throughput": "each with sequences of its own",
    "latency": "which share each step",
}


def print_layers(report: Mapping[str, Any]) -> None:
    """Print the limits, then for each shape the time by kernel and by kind of step."""
    print_peaks(report)
    for row in report["layers"]:
        shape = f"{row['file']}, {row['batch']}x{row['length']}"
        threads = f"{row['threads']} threads, {SCHEDULES[row['schedule']]}"
        title = f"{shape}: {row['wall_ms']:.2f} ms, {threads if row['threads'] > 1 else '1 thread'}"
        kernels = [[each["kernel"], *_figures(each)] for each in row["kernels"]]
        print_table(title, ["kernel", *FIGURES.values()], kernels)
        steps = [[each["step"], each["kernel"], each["calls"], *_figures(each)] for each in row["steps"]]
        print_table(f"{shape}, by step", ["step", "kernel", "calls", *FIGURES.values()], steps)
    print_note(report["how"])


def _figures(row: Mapping[str, Any]) -> list[Any]:
    return ["" if row[key] is None else row[key] for key in FIGURES]
