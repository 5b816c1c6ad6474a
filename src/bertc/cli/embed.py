"""``bertc embed``: texts to vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import AsJson, ModelFile, Threads, print_json

if TYPE_CHECKING:
    from bertc.files.texts import Record
    from bertc.files.vectors import Write


def command(
    file: ModelFile,
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts to embed.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input", "-i", help="A .txt, .jsonl, .csv, .tsv or .parquet file; - reads lines from stdin."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .npy, .jsonl or .parquet file; without it, JSON lines."),
    ] = None,
    column: Annotated[str, typer.Option(help="Where tables and .jsonl have the text.")] = "text",
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale vectors to length 1.")] = False,
    truncate_dim: Annotated[int | None, typer.Option(min=1, help="Keep only the first components.")] = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Embed texts: those given, or those of a file."""
    from bertc.encoder import load
    from bertc.files.vectors import WRITERS

    if bool(texts) == (source is not None):
        raise typer.BadParameter("give texts, or a file with --input, and not both")
    if as_json and output is None:
        raise typer.BadParameter("--json prints a summary, so the vectors need a file: add --output")
    if output is not None and output.suffix.lower() not in WRITERS:
        raise typer.BadParameter(f"the output must end in {', '.join(WRITERS)}", param_hint="--output")
    encoder = load(file, num_threads=threads)
    embed = encoder.encode  # fails here for a model of another task
    width = min(encoder.dimensions, truncate_dim or encoder.dimensions)
    start = time.perf_counter()
    with _writer(output, width) as write:
        counts = _embed_all(
            embed,
            _records(texts or [], source, column),
            write,
            show_progress=source is not None,
            normalize_embeddings=normalize,
            truncate_dim=truncate_dim,
        )
    if as_json:
        print_json({"output": str(output), **counts, "seconds": time.perf_counter() - start})


def _records(texts: list[str], source: str | None, column: str) -> Iterator[Record]:
    from bertc.files.texts import Record, read_texts

    if source is not None:
        return read_texts(source, column)
    return (Record(i, text) for i, text in enumerate(texts))


def _embed_all(
    embed: Callable[..., Any], records: Iterator[Record], write: Write, *, show_progress: bool, **options: Any
) -> dict[str, int]:
    """Embed and write, a bounded slice at a time; returns how much there was."""
    import numpy as np

    from bertc.files.texts import slices
    from bertc.runtime.progress import progress

    samples = 0
    with progress(None, "embedding", enabled=show_progress) as advance:
        for part in slices(records):
            write(part, np.asarray(embed([record.text for record in part], **options)))
            samples += len(part)
            advance(len(part))
    return {"samples": samples}


@contextmanager
def _writer(output: Path | None, width: int) -> Iterator[Write]:
    """Where vectors go: a file, or standard output as JSON lines."""
    from bertc.files.vectors import to_json_line, vector_writer

    if output is None:
        yield lambda records, vectors: typer.echo("\n".join(map(to_json_line, records, vectors)))
    else:
        with vector_writer(output, width) as write:
            yield write
