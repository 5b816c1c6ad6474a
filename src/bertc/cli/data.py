"""``bertc data prepare``: makes files of token ids, as other tool-chains have them, of raw data."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import (
    AsJson,
    Threads,
    check_choice,
    print_facts,
    print_result,
    text_columns,
    word_columns,
)
from bertc.cli.rows import Column, PairColumn, check_source, one_truncation_warning

if TYPE_CHECKING:
    from bertc.encoder import Encoder

app = typer.Typer(help="Make files of token ids of raw data.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Make files of token ids of raw data."""


class Form(str, Enum):
    """The forms of prepared inputs."""

    NPY = "npy"
    BIN = "bin"
    NPZ = "npz"


class Kind(str, Enum):
    """The kinds of raw data, by the kinds of ``bertc eval``."""

    STS = "sts"
    CLASSIFY = "classify"
    PAIRS = "pairs"
    NER = "ner"
    QA = "qa"
    RERANK = "rerank"
    TEXT = "text"


@app.command("prepare")
def prepare(
    form: Annotated[
        Form, typer.Argument(metavar="FORM", help="npy or bin: a folder per input; npz: a data list.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="A .bertc file, or a checkpoint: whose tokenizer and task.")
    ],
    data: Annotated[Path, typer.Option("--data", "-d", help="The raw data, or hub:NAME#SUBSET@SPLIT.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A new folder.")],
    kind: Annotated[
        Kind | None, typer.Option("--as", help="What the data is; default: what the model is scored on.")
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            "--length",
            help="Pad to so many tokens, and cut what is longer; several, as 64,128: to the least that fits. "
            "Default: no padding.",
        ),
    ] = None,
    arrays: Annotated[
        int, typer.Option(help="For npz: 3, or 6 for compilers that want the mask four times.")
    ] = 3,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="For npy: write embeddings instead of ids, by the tables that bertc compile --inputs "
            "embeddings wrote.",
        ),
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="As of bertc eval: words and labels of ner; label and texts of others.")
    ] = None,
    first_stage: Annotated[
        str | None,
        typer.Option(
            metavar="EMBEDDER", help="As of bertc eval rerank: a model that chooses what is ranked."
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many documents the first stage chooses.")] = 20,
    column: Column = "text",
    pair_column: PairColumn = None,
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Write the token ids that a model is given for raw data, with the id of each sample."""
    from bertc.loading import load
    from bertc.prepared.capture import default_kind
    from bertc.prepared.inputs import prepare as write_inputs
    from bertc.runtime.progress import progress

    check_choice(str(arrays), ("3", "6"), "--arrays")
    sizes = _lengths(lengths)
    check_source(data)
    embed = None if embeddings is None else _embed(embeddings)
    engine = load(model, num_threads=threads)
    of_data = kind.value if kind is not None else default_kind(engine)
    options: dict[str, Any] = {}
    if columns is not None:
        options["columns"] = (word_columns if of_data == "ner" else text_columns)(columns)
    if first_stage is not None:
        if kind is not Kind.RERANK:
            raise typer.BadParameter("it is for --as rerank", param_hint="--first-stage")
        options |= {"first_stage": load(first_stage, num_threads=threads), "top_k": top_k}
    with one_truncation_warning(), progress(None, "prepare", enabled=True) as advance:
        counts = write_inputs(
            engine,
            data,
            output,
            form.value,
            kind=of_data,
            lengths=sizes,
            arrays=arrays,
            embed=embed,
            command=_command(),
            advance=advance,
            options=options,
            column=column,
            pair_column=pair_column,
        )
    print_result({"output": str(output), **counts}, as_json, lambda facts: print_facts("prepared", facts))


def run_data_list(load: Callable[[], Encoder], data: Path, output: Path | None, save_as: str) -> None:
    """Run prepared inputs, and print counts and times."""
    from bertc.prepared.running import FORMS, run_prepared
    from bertc.runtime.progress import progress

    check_choice(save_as, FORMS, "--save-as")
    if output is None:
        raise typer.BadParameter("name a new folder for the outputs", param_hint="--output")
    data.stat()
    with progress(None, "run", enabled=True) as advance:
        counts = run_prepared(load(), data, output, save_as, command=_command(), advance=advance)
    print_facts("outputs", {"output": str(output), **counts})


def _embed(file: Path) -> Callable[[Any, Any], Any]:
    from bertc.embedding_tables import EmbeddingTables

    tables = EmbeddingTables.load(file)
    return lambda ids, type_ids: tables(ids, [0, len(ids)], type_ids)


def _command() -> str:
    return shlex.join(["bertc", *sys.argv[1:]])


def _lengths(text: str | None) -> list[int]:
    try:
        sizes = [] if text is None else [int(part) for part in text.split(",")]
    except ValueError:
        sizes = [0]
    if any(size < 1 for size in sizes):
        raise typer.BadParameter("expected numbers as in 128 or 64,128", param_hint="--length")
    return sorted(sizes)
