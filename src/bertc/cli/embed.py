"""``bertc embed``: turns texts into vectors."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertc.cli.console import AsJson, Model, Subfolder, Threads, print_json
from bertc.cli.rows import Column, InputFormat, Source, Texts, answer_all, records_of

if TYPE_CHECKING:
    from bertc.files.vectors import Write


def command(
    model: Model,
    texts: Texts = None,
    source: Source = None,
    input_format: InputFormat = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .npy, .jsonl or .parquet file; without it, JSON lines."),
    ] = None,
    column: Column = "text",
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale vectors to length 1.")] = False,
    truncate_dim: Annotated[int | None, typer.Option(min=1, help="Keep only the first components.")] = None,
    subfolder: Subfolder = "",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Embed texts: those given, or those of a file."""
    from bertc.files.vectors import WRITERS
    from bertc.loading import load

    records = records_of(texts, source, input_format, column)
    if as_json and output is None:
        raise typer.BadParameter("--json prints a summary, so the vectors need a file: add --output")
    if output is not None and output.suffix.lower() not in WRITERS:
        raise typer.BadParameter(f"the output must end in {', '.join(WRITERS)}", param_hint="--output")
    encoder = load(model, subfolder=subfolder, num_threads=threads)
    embed = encoder.encode  # fails here for a model of another task
    width = min(encoder.dimensions, truncate_dim or encoder.dimensions)
    start = time.perf_counter()
    with _writer(output, width) as write:
        counts = answer_all(
            lambda part: embed(
                [record.text for record in part], normalize_embeddings=normalize, truncate_dim=truncate_dim
            ),
            records,
            write,
            output,
            "embedding",
            show_progress=source is not None,
        )
    if as_json:
        print_json({"output": str(output), **counts, "seconds": time.perf_counter() - start})


@contextmanager
def _writer(output: Path | None, width: int) -> Iterator[Write]:
    """Open the place where vectors go: a file, or standard output as JSON lines."""
    from bertc.files.vectors import to_json_line, vector_writer

    if output is None:
        yield lambda records, vectors: typer.echo("\n".join(map(to_json_line, records, vectors)))
    else:
        with vector_writer(output, width) as write:
            yield write
