"""The tables of a report in Markdown, for the docs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bertc.bench.engine import OURS, TEXT_MODES
from bertc.bench.plots import MODES
from bertc.bench.report import rivals

Report = Mapping[str, Any]


def describe_machine(report: Report) -> list[str]:
    """Describe what was measured, where, and with what."""
    machine, versions = report["machine"], dict(report["versions"])
    facts = [
        machine["processor"],
        f"{machine['cores']} cores",
        *(f"{level} {size}" for level, size in machine["caches"].items()),
        *machine["flags"],
    ]
    lines = [
        f"{', '.join(facts)}.",
        f"{report['settings']['threads']} threads, {report['date']}, commit {report['commit']}.",
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "",
    ]
    if report["peaks"] is not None:
        gops = report["peaks"]["gops"]
        dtypes = list(dict.fromkeys(dtype for row in gops.values() for dtype in row))
        rows = [[isa, *(_number(row.get(dtype)) for dtype in dtypes)] for isa, row in gops.items()]
        lines += table(["limit, GOP/s", *dtypes], rows)
        lines += ["", f"Memory: {report['peaks']['memory_gb_per_second']:.1f} GB/s read.", ""]
    return lines


def shape_tables(report: Report) -> list[str]:
    """Make a table for each of ours: speed, share of the limit, and the best of the others, by shape."""
    lines: list[str] = []
    for own in [engine for engine in report["engines"] if engine["library"] == OURS]:
        rows = []
        for row in [each for each in report["shapes"] if each["engine"] == own["name"]]:
            work = f"{row['batch']}x{row['length']}"
            share = "" if row["percent_of_peak"] is None else f"{row['percent_of_peak']:.0f} %"
            cells = [f"{row['p50_ms']:.2f}", f"{row['p99_ms']:.2f}", f"{row['gops']:,.0f}", share]
            rows.append([work, *cells, _best(report, own, work)])
        heading = [f"`{own['name']}`", "p50 ms", "p99 ms", "GOP/s", "of the limit", "times the best peer"]
        lines += [*table(heading, rows), ""] if rows else []
    return lines


def text_table(report: Report) -> list[str]:
    """Make a table of texts per second by engine, with accuracy beside it."""
    modes = [mode for mode in MODES if any(row["mode"] == mode for row in report["texts"])]
    speeds = {(row["engine"], row["mode"]): row["sequences_per_second"] for row in report["texts"]}
    accuracy = {row["engine"]: row for row in report["accuracy"]}
    rows = []
    for engine in report["engines"]:
        name = engine["name"]
        score = accuracy.get(name, {})
        rows.append(
            [
                f"`{name}`",
                *(_number(speeds.get((name, mode))) for mode in modes),
                _number(score.get("spearman"), 2),
                _number(score.get("mean_cosine"), 5),
                _number(engine["peak_mb"]),
            ]
        )
    heading = [
        "texts/s",
        *(TEXT_MODES[mode].title for mode in modes),
        "Spearman",
        "mean cosine to fp32",
        "peak MB",
    ]
    ratios = [
        f"`{own}` in one unsorted call: {_best(report, engine, 'one_call/sorted')} with sorted batches, "
        f"{_best(report, engine, 'one_call/unsorted')} with unsorted ones."
        for engine in report["engines"]
        if engine["library"] == OURS and (own := engine["name"])
    ]
    return [*table(heading, rows), "", *(line for ratio in ratios for line in (ratio, ""))]


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table."""
    lines = [heading, ["---", *["---:"] * (len(heading) - 1)], *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _best(report: Report, own: Mapping[str, Any], work: str) -> str:
    """Tell the smallest ratio to a rival, and who that is."""
    dtypes = {engine["name"]: engine["dtype"] for engine in report["engines"]}
    rows = [
        row
        for row in report["ratios"]
        if row["engine"] == own["name"] and row["work"] == work and rivals(own["dtype"], dtypes[row["peer"]])
    ]
    if not rows:
        return ""
    row = min(rows, key=lambda each: each["median"])
    return f"{row['median']:.2f} ({row['peer']})"


def _number(value: float | None, digits: int = 0) -> str:
    return "" if value is None else f"{value:,.{digits}f}"
