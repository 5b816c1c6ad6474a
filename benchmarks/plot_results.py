"""``make plots``: from all results files, the plots and the page of figures in the docs.

Reads ``benchmarks/results/*.json``, writes ``docs/plots/*.png`` and ``docs/results.md``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bertc.bench.markdown import describe_machine, shape_tables, table, text_table
from bertc.bench.plan import OURS
from bertc.bench.plots import save_plots
from bertc.bench.report import load_results

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# Results

Made by `benchmarks/plot_results.py` from the files in `benchmarks/results/`, which `make compare` writes.
How they are measured: [benchmarks.md](benchmarks.md). Ratios travel to other machines better than figures.
"""


def page(results: Mapping[str, Sequence[Mapping[str, Any]]], docs: Path) -> str:
    """The page, with plots written below ``docs``; ``results`` are reports by kind of machine."""
    lines = [HEAD]
    for kind, reports in results.items():
        main = max(reports, key=lambda report: (len(report["engines"]), report["settings"]["threads"]))
        threads = main["settings"]["threads"]
        lines += [f"## {kind}", "", *describe_machine(main)]
        for report in reports:
            if report["settings"]["threads"] == threads:
                lines += _section(report, kind, docs)
        lines += _scaling(reports, threads)
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
    lines += [f"Not measured: {message}." for message in report["failed"].values()]
    return [*lines, ""]


def _scaling(reports: Sequence[Mapping[str, Any]], threads: int) -> list[str]:
    """How much faster ours is on all threads than on one."""
    rows = []
    for single in [report for report in reports if report["settings"]["threads"] == 1 != threads]:
        for row in single["shapes"]:
            many = [
                other
                for report in reports
                if report["settings"]["threads"] == threads and report["model"] == single["model"]
                for other in report["shapes"]
                if all(other[key] == row[key] for key in ("engine", "batch", "length"))
            ]
            if many and row["engine"].startswith(OURS):
                speedup = many[0]["tokens_per_second"] / row["tokens_per_second"]
                work = f"{single['model']['name']}, {row['engine']}, {row['batch']}x{row['length']}"
                rows.append([work, f"{speedup:.2f}"])
    return [*table([f"{threads} threads over 1", "times as fast"], rows), ""] if rows else []


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
