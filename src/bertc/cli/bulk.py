"""Jobs of ``embed``, ``classify``, ``tag`` and ``rerank`` whose output is a folder."""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from bertc.cli.console import print_json

if TYPE_CHECKING:
    from bertc.bulk.results import Question
    from bertc.encoder import Encoder


class OnNull(str, Enum):
    """What becomes of rows without a text."""

    NULL = "null"
    SKIP = "skip"
    ERROR = "error"


IdColumn = Annotated[
    str | None,
    typer.Option("--id", help="Of a folder as output: the column of ids. Default: id, else file and row."),
]
NullPolicy = Annotated[
    OnNull, typer.Option("--on-null", help="Of a folder: a row without text gives null, no row, or an error.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a folder where it stopped.")]
Instances = Annotated[
    int, typer.Option("--instances", min=1, help="Of a folder: processes, which share the threads.")
]
BatchTokens = Annotated[
    int | None,
    typer.Option(
        "--batch-tokens",
        min=1,
        metavar="N",
        help="Of a folder: the most tokens of a run of the model; changes memory and no result.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="ADDRESS",
        help="Of a folder: run on a Ray cluster whose nodes share the files: auto, host:port, or local.",
    ),
]


class JobOptions(NamedTuple):
    """What only a folder as output has."""

    id_column: str | None
    on_null: OnNull
    resume: bool
    instances: int
    batch_tokens: int | None
    ray: str | None


def is_folder(output: Path | None) -> bool:
    """Tell whether an output is a folder of files: it is one, or its name has no suffix."""
    return output is not None and (output.is_dir() or not output.suffix)


def refuse_options(options: JobOptions) -> None:
    """Raise a usage error for options that only a folder as output has."""
    given = {
        "--id": options.id_column,
        "--on-null": options.on_null != OnNull.NULL,
        "--resume": options.resume,
        "--instances": options.instances > 1,
        "--batch-tokens": options.batch_tokens,
        "--ray": options.ray,
    }
    for name, is_given in given.items():
        if is_given:
            raise typer.BadParameter("is for a folder as output: name one with --output", param_hint=name)


def run_bulk(
    encoder: Encoder,
    question: Question,
    source: str | None,
    output: Path,
    columns: tuple[str, ...],
    options: JobOptions,
    *,
    as_json: bool = False,
) -> None:
    """Run a job and tell its counts."""
    from bertc.bulk.job import JobSettings, run_job

    if source is None:
        raise typer.BadParameter("a folder as output needs files with --input", param_hint="--output")
    settings = JobSettings(
        source,
        output,
        question,
        columns,
        options.id_column,
        options.on_null.value,
        resume=options.resume,
        instances=options.instances,
        batch_tokens=options.batch_tokens,
        ray=options.ray,
    )
    counts = run_job(encoder, settings, show_progress=True)
    if as_json:
        print_json(counts)
    else:
        sys.stderr.write(_tell(counts))


def _tell(counts: dict[str, Any]) -> str:
    seconds = counts["seconds"]
    parts = [f"{counts['rows']:,} rows in {counts['shards']} shards, {seconds:.1f} s"]
    if counts["resumed_shards"]:
        parts.append(f"{counts['resumed_shards']} shards were there before")
    parts += [f"{counts[name]:,} {name}" for name in ("truncated", "rejected") if counts[name]]
    return f"{counts['output']}: {'; '.join(parts)}\n"
