"""``make plots``: draws the plots and writes the page of figures in the docs, from all results files.

Reads ``benchmarks/results/*.json``, writes ``docs/plots/*.png`` and ``docs/results.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import targets
from markdown_tables import describe_machine, shape_tables, table, text_table

from bertc.bench.plots import save_plots
from bertc.bench.report import load_results

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# Results

Made by `benchmarks/plot_results.py` from the files in `benchmarks/results/`, which `make compare` writes.
How they are measured: [benchmarks.md](benchmarks.md). Ratios travel to other machines better than figures.
"""


def page(results: Mapping[str, Sequence[Mapping[str, Any]]], docs: Path) -> str:
    """Make the page, and write plots below ``docs``; ``results`` are reports by kind of machine."""
    lines = [HEAD, *_targets(results)]
    for kind, reports in results.items():
        main = max(reports, key=lambda report: (len(report["engines"]), report["settings"]["threads"]))
        lines += [f"## {kind}", "", *describe_machine(main)]
        for report in reports:
            lines += _section(report, kind, docs)
    return "\n".join(lines).rstrip() + "\n"


def _section(report: Mapping[str, Any], kind: str, docs: Path) -> list[str]:
    name = report["model"]["name"]
    lines = [f"### {name}", ""]
    for path in save_plots(report, docs / "plots", f"{kind}-{name}-"):
        lines += [f"![{path.stem}]({path.relative_to(docs).as_posix()})", ""]
    lines += shape_tables(report)
    if report["texts"]:
        count, tokens = report["texts"][0]["sequences"], report["texts"][0]["tokens"]
        lines += [f"Real text: {report['settings']['source']}, {count} texts, {tokens} tokens.", ""]
        lines += text_table(report)
    lines += _processes(report)
    lines += [] if report["complete"] else ["The run was interrupted: what is missing was not measured.", ""]
    lines += [f"Not measured: {message}." for message in report["failed"].values()]
    return [*lines, ""]


def _targets(results: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Make a table of every target, for each kind of machine that has targets."""
    lines = ["## Targets", ""]
    kinds = {kind: targets.Results(reports).kind for kind, reports in results.items()}
    for name, text in targets.KINDS.items():
        files = [kind for kind, its_kind in kinds.items() if its_kind == name]
        lines += [] if files else [f"{text}: not measured.", ""]
        for file in files:
            rows = targets.judge(results[file])
            lines += [f"{text} (`{file}.json`):", "", *table(targets.HEADING, rows), ""]
    return lines


def _processes(report: Mapping[str, Any]) -> list[str]:
    """Make a table of start, memory and scaling of ours."""
    memory = {row["engine"]: row for row in report["memory"]}
    scaling = {row["engine"]: row for row in report["scaling"]}
    rows = []
    for name, times in report["startup_ms"].items():
        peak, over = memory.get(name, {}), scaling.get(name, {})
        figures = [times.get("whole"), peak.get("peak_mb"), peak.get("weights_mb"), peak.get("beyond_mb")]
        cells = ["" if figure is None else f"{figure:.0f}" for figure in figures]
        rows.append([f"`{name}`", *cells, f"{over['median']:.2f}" if over else ""])
    heading = ["one process", "start, ms", "peak MB", "weights MB", "beyond them", "all threads over 1"]
    return [*table(heading, rows), ""] if rows else []


def main() -> None:
    """Write all plots and the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    options = parser.parse_args()
    results = {path.stem: load_results(path) for path in sorted(options.results.glob("*.json"))}
    if not results:
        parser.error(f"no results in {options.results}: run benchmarks/compare.py first")
    options.docs.mkdir(parents=True, exist_ok=True)
    (options.docs / "results.md").write_text(page(results, options.docs), encoding="utf-8")


if __name__ == "__main__":
    main()
