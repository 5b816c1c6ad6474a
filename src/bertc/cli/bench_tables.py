"""Prints the tables of ``bertc bench``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc.cli.console import print_facts, print_note, print_table

Report = Mapping[str, Any]
Row = Mapping[str, Any]

TIMES = {"p50_ms": "p50 ms", "p90_ms": "p90 ms", "p99_ms": "p99 ms"}
RATES = {"sequences_per_second": "sequences/s", "tokens_per_second": "tokens/s", "gops": "GOP/s"}
MODES = {"sorted": "32, sorted", "unsorted": "32, unsorted", "single": "one by one", "one_call": "one call"}
"""The names that tables give to the ways to batch texts."""
RESTLESS = 0.2
"""The spread from round to round, as a share, that an idle machine stays below, by far."""


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
    for message in report["failed"].values():
        print_facts("not measured", {"": message})
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
    rows = [["" if each[key] is None else each[key] for key in columns] for each in report["engines"]]
    print_table("engines", list(columns.values()), rows)


def _print_shapes(report: Report) -> None:
    rows = [[f"{row['batch']}x{row['length']}", row["engine"], *_figures(row)] for row in report["shapes"]]
    print_table("fixed shapes, random ids, without tokenizing", ["shape", "engine", *_headings()], rows)


def _print_texts(report: Report) -> None:
    if not report["texts"]:
        return
    first = report["texts"][0]
    rows = []
    for row in report["texts"]:
        fewer = "" if row["sequences"] == first["sequences"] else f", {row['sequences']} texts"
        model_alone = row["kernel_sequences_per_second"]
        rows.append([MODES[row["mode"]] + fewer, row["engine"], *_figures(row), model_alone])
    amount = f"{first['sequences']} texts, {first['tokens']} tokens"
    title = f"{report['settings']['source']}: {amount}, with tokenizing"
    print_table(title, ["batches", "engine", *_headings(), "model alone, /s"], rows)


def _headings() -> list[str]:
    return [*TIMES.values(), "spread %", *RATES.values(), "% of peak", "calls"]


def _figures(row: Row) -> list[Any]:
    share = row["percent_of_peak"]
    return [
        *(row[key] for key in TIMES),
        100 * row["spread"],
        *(row[key] for key in RATES),
        "" if share is None else share,
        row["repeats"],
    ]


def _print_accuracy(report: Report) -> None:
    columns = {
        "engine": "engine",
        "spearman": "Spearman x 100",
        "pearson": "Pearson x 100",
        "mean_cosine": "mean cosine to fp32",
        "worst_cosine": "worst",
    }
    rows = [[_exact(each[key]) for key in columns] for each in report["accuracy"]]
    if rows:
        print_table(f"accuracy on {report['settings']['sts']}", list(columns.values()), rows)


def _exact(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.5f}" if isinstance(value, float) and abs(value) <= 1 else value


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
            rows.append([work, best, *(found.get((work, peer), "") for peer in peers)])
        if rows:
            print_table(f"{own} is so many times faster than", ["", "the best of them", *peers], rows)


def _print_startup(report: Report) -> None:
    phases = list(next(iter(report["startup_ms"].values()), {}))
    rows = [[name, *times.values()] for name, times in report["startup_ms"].items()]
    if rows:
        print_table("start of a process to its first answer, ms", ["engine", *phases], rows)


def _print_memory(report: Report) -> None:
    columns = {
        "engine": "engine",
        "peak_mb": "peak",
        "weights_mb": "weights, mapped",
        "beyond_mb": "beyond them",
    }
    rows = [[each[key] for key in columns] for each in report["memory"]]
    if rows:
        shape = "{batch:.0f}x{length:.0f}".format(**report["memory"][0])
        print_table(f"memory of a process that runs {shape}, MB", list(columns.values()), rows)


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
    rows = [[each["engine"], each["median"]] for each in report["scaling"]]
    if rows:
        title = "{threads} threads over 1, {batch}x{length}".format(**report["scaling"][0])
        print_table(title, ["engine", "times as fast"], rows)
