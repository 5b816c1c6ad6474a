"""The parts that commands share: options, tables on standard output, JSON for machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bertc import precision

WIDTH_IN_A_FILE = 160
"""The columns of a line where standard output is no terminal: rich would cut tables at 80."""

ModelFile = Annotated[Path, typer.Argument(metavar="FILE", help="A .bertc file.")]
Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="A .bertc file, or a checkpoint to compile: a folder, a hub id, an .onnx file."
    ),
]
Subfolder = Annotated[
    str, typer.Option("--subfolder", help="Where in the folder or repository the checkpoint is.")
]
Task = Annotated[
    str | None, typer.Option(help="What the model is for, if it was saved with another head: embedding, ...")
]
Adapter = Annotated[
    str | None, typer.Option(help="The adapter to merge, of a checkpoint that holds some: retrieval.query.")
]
TokenizerFolder = Annotated[
    Path | None,
    typer.Option(
        "--tokenizer",
        help="The folder of a file's tokenizer; that of the file itself when it is not named.",
    ),
]
OutputName = Annotated[
    str | None,
    typer.Option(
        "--output-name", metavar="NAME", help="The output of such a file to take, if it has several."
    ),
]
AllowTorchscript = Annotated[
    bool,
    typer.Option("--allow-torchscript", help="Load TorchScript (.pt), which runs the code in the file."),
]


class InputsName(str, Enum):
    """What a compiled or exported model may take."""

    IDS = "ids"
    EMBEDDINGS = "embeddings"


Inputs = Annotated[
    InputsName,
    typer.Option(help="What the file takes: ids, or the output of the model's embeddings, as floats."),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="NODE", help="The node or module to end at: its value becomes the output."),
]
TablesFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Where the tables go that make embeddings: .safetensors.",
        show_default="NAME.embeddings.safetensors beside the output",
    ),
]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Default: what this process may use.")]
WordColumns = Annotated[str, typer.Option(help="Where words and labels are, from 1; -1 is the last.")]
TextColumns = Annotated[
    str | None,
    typer.Option(
        "--columns",
        help="The columns of the label and of one or two texts, as label,sentence; numbers from 1, as 2,4, "
        "where no line names them. Default: found by their names.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


class DTypeName(str, Enum):
    """The dtypes that weights of a compiled model are stored and multiplied in."""

    INT8 = precision.INT8
    BF16 = precision.BF16
    FP32 = precision.FP32


def check_choice(choice: str, choices: Collection[str], option: str) -> None:
    """Raise a usage error of ``option`` for anything but one of the choices."""
    if choice not in choices:
        raise typer.BadParameter(f"expected one of {', '.join(choices)}", param_hint=option)


def word_columns(text: str) -> tuple[int, int]:
    """Return the places of words and labels, from 0; negative ones count from the end."""
    try:
        words, labels = (int(part) for part in text.split(","))
    except ValueError:
        words = labels = 0
    if not words or not labels:
        raise typer.BadParameter("expected two numbers as in 1,4 or 2,-1", param_hint="--columns")
    return words - (words > 0), labels - (labels > 0)


def text_columns(text: str | None) -> tuple[str, ...]:
    """Return the names or numbers of the columns of a label and of one or two texts; none for None."""
    columns = () if text is None else tuple(part.strip() for part in text.split(","))
    numbers = sum(column.isdecimal() for column in columns)
    if text is not None and (len(columns) not in (2, 3) or "" in columns or numbers not in (0, len(columns))):
        raise typer.BadParameter("expected columns as in label,sentence or 2,4", param_hint="--columns")
    return columns


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    typer.echo(json.dumps(value, indent=2))


def print_result(value: Mapping[str, Any], as_json: bool, show: Callable[[Any], None]) -> None:
    """Print a result as one JSON object, or as ``show`` prints it for people."""
    if as_json:
        print_json(value)
    else:
        show(value)


def print_rows(title: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of rows, if there are some: ``columns`` has the heading of each key; None is left out."""
    cells = [["" if row[key] is None else row[key] for key in columns] for row in rows]
    if cells:
        print_table(title, list(columns.values()), cells)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; what is no text, as numbers, goes to the right; columns without entries are left out."""
    table = Table(title=title, title_justify="left", show_header=any(columns))
    used = [index for index in range(len(columns)) if any(row[index] != "" for row in rows)]
    for index in used:
        texts = all(isinstance(row[index], str) for row in rows)
        table.add_column(columns[index], justify="left" if texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_spell(row[index])) for index in used))
    _console().print(table)


def print_facts(title: str, facts: Mapping[str, Any]) -> None:
    """Print a table of names and values, without a heading; nested facts get dotted names."""
    from bertc.report.tables import flatten

    if facts:
        print_table(title, ("", ""), list(flatten(facts, _spell_fact)))


def print_note(text: str) -> None:
    """Print a paragraph below tables."""
    _console().print(Text(text))


def _spell_fact(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else _spell(value)


def _spell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else WIDTH_IN_A_FILE)


@contextmanager
def status(text: str) -> Iterator[Callable[[str], None]]:
    """Show a spinner on standard error while the block runs, if that is a terminal.

    The function that comes back changes its text.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with Console(stderr=True).status(text) as spinner:
        yield spinner.update
