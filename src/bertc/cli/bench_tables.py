"""Prints the tables of ``bertc bench``, also with ``--layers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc.bench.engine import TEXT_MODES
from bertc.cli.console import print_facts, print_note, print_rows, print_table

Report = Mapping[str, Any]
Row = Mapping[str, Any]

FIGURES = {
    "engine": "engine",
    "p50_ms": "p50 ms",
    "p90_ms": "p90 ms",
    "p99_ms": "p99 ms",
    "spread_percent": "spread %",
    "sequences_per_second": "sequences/s",
    "tokens_per_second": "tokens/s",
    "gops": "GOP/s",
    "percent_of_peak": "% of peak",
    "repeats": "calls",
}
"""The columns of what was timed, with their headings."""
RESTLESS = 0.2
"""The spread from round to round, as a share, that an idle machine stays below, by far."""
LAYER_FIGURES = {
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


def print_report(report: Report) -> None:
    """Print all that was measured."""
    print_facts("machine", report["machine"])
    if report["peaks"] is not None:
        print_peaks(report, machine=False)
    print_facts("versions", {**report["versions"], "commit": report["commit"]})
    _print_engines(report)
    _print_shapes(report)
    _print_texts(report)
    _print_accuracy(report)
    _print_ratios(report)
    _print_startup(report)
    _print_memory(report)
    _print_scaling(report)
    if report["failed"]:
        print_table("not measured", [""], [[message] for message in report["failed"].values()])
    _print_warning(report)


def print_peaks(report: Report, machine: bool = True) -> None:
    """Print the machine's limits."""
    peaks = report["peaks"]
    if machine:
        print_facts("machine", report["machine"])
    dtypes = list(dict.fromkeys(dtype for row in peaks["gops"].values() for dtype in row))
    rows = [[isa, *(row.get(dtype, "") for dtype in dtypes)] for isa, row in peaks["gops"].items()]
    print_table(f"limits with {peaks['threads']} threads, GOP/s", ["instruction set", *dtypes], rows)
    print_facts("", {"memory, GB/s": peaks["memory_gb_per_second"]})


def _print_engines(report: Report) -> None:
    columns = {"name": "engine", "version": "version", "isa": "runs on", "peak_mb": "peak memory, MB"}
    print_rows("engines", columns, report["engines"])


def _print_shapes(report: Report) -> None:
    rows = [_row(row, shape=f"{row['batch']}x{row['length']}") for row in report["shapes"]]
    print_rows("fixed shapes, random ids, without tokenizing", {"shape": "shape", **FIGURES}, rows)


def _print_texts(report: Report) -> None:
    if not report["texts"]:
        return
    first = report["texts"][0]
    rows = []
    for row in report["texts"]:
        fewer = "" if row["sequences"] == first["sequences"] else f", {row['sequences']} texts"
        rows.append(_row(row, batches=TEXT_MODES[row["mode"]].title + fewer))
    amount = f"{first['sequences']} texts, {first['tokens']} tokens"
    title = f"{report['settings']['source']}: {amount}, with tokenizing"
    columns = {"batches": "batches", **FIGURES, "kernel_sequences_per_second": "model alone, /s"}
    print_rows(title, columns, rows)


def _row(row: Row, **more: str) -> Row:
    return {**row, **more, "spread_percent": 100 * row["spread"]}


def _print_accuracy(report: Report) -> None:
    columns = {
        "engine": "engine",
        "spearman": "Spearman x 100",
        "pearson": "Pearson x 100",
        "mean_cosine": "mean cosine to fp32",
        "worst_cosine": "worst",
    }
    rows = [{**each, **_exact(each)} for each in report["accuracy"]]
    print_rows(f"accuracy on {report['settings']['sts']}", columns, rows)


def _exact(row: Row) -> Row:
    """Return the cosines of a row with more digits than other numbers have."""
    return {key: f"{row[key]:.5f}" for key in ("mean_cosine", "worst_cosine") if row[key] is not None}


def _print_ratios(report: Report) -> None:
    """Print a table for each of ours, with a line for each work and a column for each rival."""
    from bertc.bench.report import rivals

    dtypes = {engine["name"]: engine["dtype"] for engine in report["engines"]}
    for own in dict.fromkeys(row["engine"] for row in report["ratios"]):
        mine = [
            row
            for row in report["ratios"]
            if row["engine"] == own and rivals(dtypes[own], dtypes[row["peer"]])
        ]
        peers = list(dict.fromkeys(row["peer"] for row in mine))
        found = {(row["work"], row["peer"]): row["median"] for row in mine}
        rows = []
        for work in dict.fromkeys(row["work"] for row in mine):
            best = min(found[work, peer] for peer in peers if (work, peer) in found)
            rows.append([_title(work), best, *(found.get((work, peer), "") for peer in peers)])
        if rows:
            print_table(f"{own} is so many times faster than", ["", "the best of them", *peers], rows)


def _title(work: str) -> str:
    """Return the title of a work in ratios: of a way to run texts, of two of them, or of a shape."""
    return " / ".join(TEXT_MODES[mode].title if mode in TEXT_MODES else mode for mode in work.split("/"))


def _print_startup(report: Report) -> None:
    rows = [{"engine": name, **times} for name, times in report["startup_ms"].items()]
    for first in rows[:1]:
        print_rows("start of a process to its first answer, ms", {key: key for key in first}, rows)


def _print_memory(report: Report) -> None:
    columns = {
        "engine": "engine",
        "peak_mb": "peak",
        "weights_mb": "weights, mapped",
        "beyond_mb": "beyond them",
    }
    for first in report["memory"][:1]:
        shape = f"{first['batch']:.0f}x{first['length']:.0f}"
        print_rows(f"memory of a process that runs {shape}, MB", columns, report["memory"])


def _print_warning(report: Report) -> None:
    from bertc.bench.engine import OURS

    own = [engine["name"] for engine in report["engines"] if engine["library"] == OURS]
    spreads = [row["spread"] for row in (*report["shapes"], *report["texts"]) if row["engine"] in own]
    restless = sum(spread > RESTLESS for spread in spreads)
    if restless:
        print_note(
            f"In {restless} of our {len(spreads)} rows the spread is above {RESTLESS:.0%}: something else "
            "ran on this machine, and the figures tell of that too. Measure again when it is idle."
        )


def _print_scaling(report: Report) -> None:
    for first in report["scaling"][:1]:
        title = "{threads} threads over 1, {batch}x{length}".format(**first)
        print_rows(title, {"engine": "engine", "median": "times as fast"}, report["scaling"])


def print_layers(report: Mapping[str, Any]) -> None:
    """Print the limits, then for each shape the time by kernel and by kind of step."""
    print_peaks(report)
    for row in report["layers"]:
        shape = f"{row['file']}, {row['batch']}x{row['length']}"
        threads = f"{row['threads']} threads, {SCHEDULES[row['schedule']]}"
        title = f"{shape}: {row['wall_ms']:.2f} ms, {threads if row['threads'] > 1 else '1 thread'}"
        print_rows(title, {"kernel": "kernel", **LAYER_FIGURES}, row["kernels"])
        columns = {"step": "step", "kernel": "kernel", "calls": "calls", **LAYER_FIGURES}
        print_rows(f"{shape}, by step", columns, row["steps"])
    print_note(report["how"])
