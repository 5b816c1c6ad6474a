"""``bertc embed``: turns texts into vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import AsJson, Model, Threads, print_json
from bertc.errors import BertcError, InputError

if TYPE_CHECKING:
    from bertc.files.texts import Record
    from bertc.files.vectors import FloatArray, Write


class TextFormat(str, Enum):
    """The formats of files of texts, by the endings that such files have."""

    TXT = "txt"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


def command(
    model: Model,
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts to embed.")] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--input",
            "-i",
            help="A .txt, .jsonl, .csv, .tsv or .parquet file, perhaps with .gz, .bz2 or .xz; - reads stdin.",
        ),
    ] = None,
    input_format: Annotated[
        TextFormat | None,
        typer.Option("--format", help="What the input is, if not what its name says; of stdin, else txt."),
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
    from bertc.files.vectors import WRITERS
    from bertc.loading import load

    if bool(texts) == (source is not None):
        raise typer.BadParameter("give texts, or a file with --input, and not both")
    if source is None and input_format is not None:
        raise typer.BadParameter("--format is about --input", param_hint="--format")
    if as_json and output is None:
        raise typer.BadParameter("--json prints a summary, so the vectors need a file: add --output")
    if output is not None and output.suffix.lower() not in WRITERS:
        raise typer.BadParameter(f"the output must end in {', '.join(WRITERS)}", param_hint="--output")
    encoder = load(model, num_threads=threads)
    embed = encoder.encode  # fails here for a model of another task
    width = min(encoder.dimensions, truncate_dim or encoder.dimensions)
    start = time.perf_counter()
    with _writer(output, width) as write:
        counts = _embed_all(
            embed,
            _records(texts or [], source, column, input_format),
            write,
            output,
            show_progress=source is not None,
            normalize_embeddings=normalize,
            truncate_dim=truncate_dim,
        )
    if as_json:
        print_json({"output": str(output), **counts, "seconds": time.perf_counter() - start})


def _records(
    texts: list[str], source: str | None, column: str, input_format: TextFormat | None
) -> Iterator[Record]:
    from bertc.files.texts import Record, read_texts

    if source is not None:
        return read_texts(source, column, kind=None if input_format is None else f".{input_format.value}")
    return (Record(i, text) for i, text in enumerate(texts))


def _embed_all(
    embed: Callable[..., Any],
    records: Iterator[Record],
    write: Write,
    output: Path | None,
    *,
    show_progress: bool,
    **options: Any,
) -> dict[str, int]:
    """Embed and write records, a bounded slice at a time; returns how many there were.

    Raises ``BertcError`` that also says how many of them were kept, and where.
    """
    from bertc.files.texts import slices
    from bertc.files.vectors import partial_path
    from bertc.runtime.progress import progress

    samples = 0
    with progress(None, "embedding", enabled=show_progress) as advance:
        try:
            for part in slices(records):
                for written, vectors in _vectors(embed, part, samples, options):
                    write(written, vectors)
                    samples += len(written)
                    advance(len(written))
        except BertcError as error:
            if not samples:
                raise
            where = "standard output" if output is None else partial_path(output)
            raise BertcError(f"{error}. The first {samples} rows are kept in {where}") from None
    return {"samples": samples}


def _vectors(
    embed: Callable[..., Any], part: list[Record], first: int, options: dict[str, Any]
) -> Iterator[tuple[list[Record], FloatArray]]:
    """Records and their vectors, all at once, or one by one up to a text that is wrong.

    ``first`` is the row of the first record, for the message of the ``InputError`` that this raises.
    """
    import numpy as np

    try:
        vectors = np.asarray(embed([record.text for record in part], **options))
    except InputError:
        for row, record in enumerate(part, first):
            try:
                vectors = np.asarray(embed([record.text], **options))
            except InputError as error:
                raise InputError(str(error).replace("inputs[0]", f"row {row} of the input")) from None
            yield [record], vectors
    else:
        yield part, vectors


@contextmanager
def _writer(output: Path | None, width: int) -> Iterator[Write]:
    """Open the place where vectors go: a file, or standard output as JSON lines."""
    from bertc.files.vectors import to_json_line, vector_writer

    if output is None:
        yield lambda records, vectors: typer.echo("\n".join(map(to_json_line, records, vectors)))
    else:
        with vector_writer(output, width) as write:
            yield write
