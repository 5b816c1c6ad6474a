"""``bertc embed``: turns texts into vectors: dense ones, sparse ones, or one for each token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.bulk import (
    BatchTokens,
    IdColumn,
    Instances,
    JobOptions,
    NullPolicy,
    OnNull,
    Ray,
    Resume,
    is_folder,
    refuse_options,
    run_bulk,
)
from bertc.cli.console import AsJson, Model, Subfolder, Threads, print_json
from bertc.cli.rows import Column, InputFormat, Source, Texts, answer_all, items_of, records_of

if TYPE_CHECKING:
    from bertc.encoder import Encoder
    from bertc.files.texts import Record
    from bertc.files.vectors import Write


class Kind(str, Enum):
    """What texts are to a model that embeds queries and documents in different ways."""

    QUERY = "query"
    DOCUMENT = "document"


def command(
    model: Model,
    texts: Texts = None,
    source: Source = None,
    input_format: InputFormat = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .npy, .jsonl or .parquet file; sparse and token vectors: .jsonl; a folder for many rows. "
            "Default: JSON lines.",
        ),
    ] = None,
    column: Column = "text",
    kind: Annotated[Kind | None, typer.Option("--as", help="What the texts are.")] = None,
    prompt: Annotated[str | None, typer.Option(help="What is put before each text.")] = None,
    prompt_name: Annotated[str | None, typer.Option(help="The model's prompt of this name.")] = None,
    normalize: Annotated[bool, typer.Option("--normalize", help="Scale vectors to length 1.")] = False,
    truncate_dim: Annotated[int | None, typer.Option(min=1, help="Keep only the first components.")] = None,
    precision: Annotated[
        str | None,
        typer.Option(help="float32 (the default), int8, uint8, binary or ubinary; in a folder float16, too."),
    ] = None,
    id_column: IdColumn = None,
    on_null: NullPolicy = OnNull.NULL,
    resume: Resume = False,
    instances: Instances = 1,
    batch_tokens: BatchTokens = None,
    ray: Ray = None,
    subfolder: Subfolder = "",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Embed texts: those given, or those of a file."""
    from bertc.loading import load

    options = {
        "prompt": prompt,
        "prompt_name": prompt_name,
        "normalize_embeddings": normalize,
        "truncate_dim": truncate_dim,
        "precision": precision,
    }
    given = {name: value for name, value in options.items() if value is not None and value is not False}
    job = JobOptions(id_column, on_null, resume, instances, batch_tokens, ray)
    if output is not None and is_folder(output):
        from bertc.bulk.results import Question

        method = "encode" if kind is None else f"encode_{kind.value}"
        question = Question(method, given, str(given.pop("precision", "float32")))
        encoder = load(model, subfolder=subfolder, num_threads=threads)
        run_bulk(encoder, question, source, output, (column,), job, as_json=as_json)
        return
    refuse_options(job)
    records = records_of(texts, source, input_format, column)
    if as_json and output is None:
        raise typer.BadParameter("--json prints a summary, so the vectors need a file: add --output")
    check_output(output)
    encoder = load(model, subfolder=subfolder, num_threads=threads)
    start = time.perf_counter()
    counts = embed_all(encoder, records, output, given, kind, show_progress=source is not None)
    if as_json:
        print_json({"output": str(output), **counts, "seconds": time.perf_counter() - start})


def check_output(output: Path | None) -> None:
    """Raise a usage error for a file that no vectors can be written to."""
    from bertc.files.vectors import WRITERS

    if output is not None and output.suffix.lower() not in WRITERS:
        raise typer.BadParameter(f"the output must end in {', '.join(WRITERS)}", param_hint="--output")


def embed_all(
    encoder: Encoder,
    records: Iterator[Record],
    output: Path | None,
    options: Mapping[str, Any],
    kind: Kind | None = None,
    *,
    show_progress: bool,
) -> dict[str, int]:
    """Write the vectors of records; return how many there were.

    ``options`` are those of the model's method.
    """
    embed, width, dtype = _method(encoder, options, kind)
    if width is None and output is not None and output.suffix.lower() != ".jsonl":
        raise typer.BadParameter(
            f"{encoder.info.name} makes vectors for {encoder.info.task}, which go to a .jsonl file",
            param_hint="--output",
        )
    with _writer(output, width or 0, dtype) as write:
        return answer_all(
            lambda part: embed(items_of(part)),
            records,
            write,
            output,
            "embedding",
            show_progress=show_progress,
        )


def _method(
    encoder: Encoder, options: Mapping[str, Any], kind: Kind | None
) -> tuple[Callable[[list[Any]], Any], int | None, str]:
    """Return how a model embeds texts, the columns of a vector (None if they differ), and NumPy's dtype.

    Raises ``InputError`` for a model that makes no vectors, and a usage error for options of other models.
    """
    task = encoder.info.task
    own = {"sparse": ("encode_sparse", ()), "late_interaction": ("encode_tokens", ("normalize_embeddings",))}
    name, dense_options = own.get(task, ("encode", tuple(options)))
    method = getattr(encoder, name if kind is None else f"encode_{kind.value}")
    for option in options:
        if option not in (*dense_options, "prompt", "prompt_name"):
            spelled = option.removesuffix("_embeddings").replace("_", "-")
            raise typer.BadParameter(f"{encoder.info.name} is a model for {task}", param_hint=f"--{spelled}")
    given = {**options, "output": "dict"} if task == "sparse" else options
    if task in own:
        return lambda items: method(items, **given), None, ""
    empty = method([], **given)
    return lambda items: method(items, **given), empty.shape[1], empty.dtype.str


@contextmanager
def _writer(output: Path | None, width: int, dtype: str) -> Iterator[Write]:
    """Open the place where vectors go: a file, or standard output as JSON lines."""
    from bertc.files.vectors import to_json_line, vector_writer

    if output is None:
        yield lambda records, vectors: typer.echo("\n".join(map(to_json_line, records, vectors)))
    else:
        with vector_writer(output, width, dtype) as write:
            yield write
