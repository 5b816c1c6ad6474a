"""Prints the tables of ``bertc bench --layers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc.cli.bench_tables import print_peaks
from bertc.cli.console import print_note, print_rows

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
        print_rows(title, {"kernel": "kernel", **FIGURES}, row["kernels"])
        columns = {"step": "step", "kernel": "kernel", "calls": "calls", **FIGURES}
        print_rows(f"{shape}, by step", columns, row["steps"])
    print_note(report["how"])
