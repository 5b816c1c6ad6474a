"""Runs the commands on the pages in docs/flows on whole data, and writes their tables into the pages.

``python benchmarks/flows.py --shared ../shared`` scores; with ``--speed``, on an idle machine, it also times
what the pages put under load, and each page from an empty cache to its tables. What was measured is kept in
``benchmarks/scores/flows.json``; ``--docs`` writes the tables from there alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import flow_folder
from markdown_tables import table
from minilm import ROOT

from bertc.bench.versions import commit
from bertc.cli.load_tables import merged
from bertc.runtime.machine import processor_name
from bertc.task_table import TASKS

Found = dict[str, Any]

RESULTS = ROOT / "benchmarks" / "scores" / "flows.json"
METRICS = {
    "sts": ("pearson", "spearman"),
    "ner": ("f1", "accuracy", "token_f1"),
    "classify": ("accuracy", "f1", "matthews"),
    "qa": ("exact_match", "f1"),
    "rerank": ("map", "mrr@10", "ndcg@10"),
}
"""A kind of ``bertc eval`` -> the metrics that its table has."""


def run_page(page: Path, folder: Path, *, speed: bool, alone: bool) -> Found:
    """Run the commands of a page in a new folder; return what those print whose tables it has.

    ``alone`` runs only these.
    """
    for name, content in flow_folder.files(page):
        (folder / name).write_text(content, "utf-8")
    found: Found = {"scores": [], "speed": [], "seconds": {}}
    environment = {**os.environ, "BERTC_CACHE": str(folder / "cache")}
    for command in flow_folder.commands(page):
        kind = table_of(command)
        if (kind is None and alone) or (kind == "speed" and not speed):
            continue
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "bertc", *command, *(["--json"] if kind else [])],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            check=True,
        )
        found["seconds"][" ".join(command)] = time.perf_counter() - start
        if kind is not None:
            found[kind].append({"command": command, "found": _short(json.loads(done.stdout))})
    return found


def table_of(command: Sequence[str]) -> str | None:
    """Return which table of a page a command fills."""
    if command[0] == "eval" and command.count("--recipe") > 1:
        return "scores"
    return "speed" if command[0] == "load-test" else None


def _short(found: Found) -> Found:
    """Return what a command printed without samples and classes."""
    for each in found.get("models", {}).values():
        for result in (each, each["comparison"]["reference"]):
            for key in ("classes", "confusion", "examples"):
                result.pop(key, None)
        each["comparison"].pop("worst")
    return found


def score_table(command: Sequence[str], found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table of scores, with what it is of."""
    models = found["models"]
    metrics = METRICS[command[1]]
    reference = next(iter(models.values()))["comparison"]["reference"]
    main = next(iter(models.values()))["comparison"]["metric"]
    rows = [["fp32", *(f"{reference['metrics'][name]:.2f}" for name in metrics), "", "", ""]]
    for name, each in models.items():
        beside = each["comparison"]
        change = beside["differences"][main]
        rows.append(
            [
                "int8" if name == "default" else f"`{name}`" if "." in name else name,
                *(f"{each['metrics'][metric]:.2f}" for metric in metrics),
                f"{_signed(change['value'])} ({_signed(change['low'])} to {_signed(change['high'])})",
                f"{beside['p']:.2g}",
                f"{beside['disagreements']:,}",
            ]
        )
    heading = [f"`{command[2]}`", *metrics, f"difference of {main}, 95 % interval", "p", "other answers"]
    yield from table(heading, rows)
    test = next(iter(models.values()))["comparison"]["test"]
    counts = next(iter(models.values()))["counts"]
    yield f"\n{', '.join(f'{name} {count:,}' for name, count in counts.items())}; p of {test}.\n"


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"


def speed_table(command: Sequence[str], run: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a table of rates, with where it was measured."""
    score = TASKS[run["model"]["task"]].score
    columns = {
        "batch": "batch",
        "length": "length",
        "score": score,
        "samples_per_second": "samples/s, end to end",
        "kernel": "samples/s, model alone",
        "tokens_per_second": "tokens/s",
        "p50_ms": "p50 ms",
        "p99_ms": "p99 ms",
        "padding_percent": "padding %",
    }
    rows = [[_cell(row[key]) for key in columns] for row in merged(run["rows"], score)]
    yield from table(list(columns.values()), rows)
    machine, settings = run["machine"], run["settings"]
    yield (
        f"\n`{command[1]}`, {settings['instances']} instances of {settings['threads']} threads on "
        f"{machine['processor']}, commit {run['commit']}.\n"
    )


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


TABLES = {"scores": score_table, "speed": speed_table}
"""A kind of table -> what makes its lines of a command and what that printed."""


def write_tables(page: Path, found: Found) -> None:
    """Write the tables of a page between its marks."""
    text = page.read_text("utf-8")
    for kind, lines in TABLES.items():
        parts = ["\n".join(lines(each["command"], each["found"])) for each in found[kind]]
        if not parts:
            continue
        if kind == "scores" and found.get("whole_seconds"):
            parts.append(f"All commands of this page, from an empty cache: {found['whole_seconds']:.0f} s.\n")
        before, mark, rest = text.partition(f"<!-- {kind} -->\n")
        after = rest[rest.index("<!-- end -->") :]
        text = "".join([before, mark, "\n".join(parts).rstrip("\n"), "\n", after])
    page.write_text(text, "utf-8")


def main() -> None:
    """Measure, keep, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*", help="names of pages without .md; default: all")
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    parser.add_argument("--speed", action="store_true", help="also what is timed, on an idle machine")
    parser.add_argument("--docs", action="store_true", help="only write the tables anew")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for page in flow_folder.pages():
        if arguments.pages and page.stem not in arguments.pages:
            continue
        if not arguments.docs:
            with tempfile.TemporaryDirectory() as folder:
                flow_folder.fill(Path(folder), arguments.shared)
                found = run_page(page, Path(folder), speed=arguments.speed, alone=not arguments.speed)
            if arguments.speed:
                found["whole_seconds"] = sum(found["seconds"].values())
            else:
                kept = results.get(page.stem, {})
                found |= {key: kept[key] for key in ("speed", "whole_seconds") if kept.get(key)}
            results[page.stem] = {**found, "commit": commit(), "processor": processor_name()}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
        if page.stem in results:
            write_tables(page, results[page.stem])


if __name__ == "__main__":
    main()
