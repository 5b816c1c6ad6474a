"""The loop of commands that answer texts: read records, ask the model, write answers, keep what is done."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.errors import BertcError, InputError, TruncationWarning

if TYPE_CHECKING:
    from bertc.files.texts import Record

Ask = Callable[[list["Record"]], Sequence[Any]]
"""Returns the answer to each record."""
WriteRows = Callable[[Sequence["Record"], Any], None]


class TextFormat(str, Enum):
    """The formats of files of texts, by the endings that such files have."""

    TXT = "txt"
    JSONL = "jsonl"
    CSV = "csv"
    TSV = "tsv"
    PARQUET = "parquet"


Texts = Annotated[list[str] | None, typer.Argument(metavar="TEXT", help="Texts.")]
Source = Annotated[
    str | None,
    typer.Option(
        "--input",
        "-i",
        help="A .txt, .jsonl, .csv, .tsv or .parquet file, perhaps with .gz, .bz2 or .xz; - reads stdin.",
    ),
]
InputFormat = Annotated[
    TextFormat | None,
    typer.Option("--format", help="What the input is, if not what its name says; of stdin, else txt."),
]
Column = Annotated[str, typer.Option(help="Where tables and .jsonl have the text.")]
PairColumn = Annotated[str | None, typer.Option(help="Where they have the second text of a pair.")]
AnswerFile = Annotated[
    Path | None, typer.Option("--output", "-o", help="A .jsonl file; without it, standard output.")
]


def records_of(
    texts: list[str] | None,
    source: str | None,
    input_format: TextFormat | None,
    column: str,
    pair_column: str | None = None,
) -> Iterator[Record]:
    """Return the records of a file, or of the texts that are given: one of the two must be there."""
    from bertc.files.texts import Record, read_texts

    if bool(texts) == (source is not None):
        raise typer.BadParameter("give texts, or a file with --input, and not both")
    if source is None:
        if input_format is not None:
            raise typer.BadParameter("--format is about --input", param_hint="--format")
        return (Record(index, text) for index, text in enumerate(texts or []))
    kind = None if input_format is None else f".{input_format.value}"
    return read_texts(source, column, pair_column=pair_column, kind=kind)


def check_source(data: Path) -> None:
    """Raise ``OSError`` for a file that is not there, before a checkpoint is compiled for nothing."""
    from bertc.files.hub import is_hub
    from bertc.files.lines import STDIN

    if str(data) != STDIN and not is_hub(data):
        data.stat()


def items_of(part: list[Record]) -> list[Any]:
    """Return the texts and pairs of records, as models take them."""
    return [each.text if each.pair is None else (each.text, each.pair) for each in part]


def answer_all(
    ask: Ask,
    records: Iterator[Record],
    write: WriteRows,
    output: Path | None,
    what: str,
    *,
    show_progress: bool,
) -> dict[str, int]:
    """Answer and write records, a bounded slice at a time; return how many there were.

    Raises ``BertcError`` that also says how many of them were kept, and where.
    """
    from bertc.files.rows import partial_path
    from bertc.files.texts import slices
    from bertc.runtime.progress import progress

    samples = 0
    with one_truncation_warning(), progress(None, what, enabled=show_progress) as advance:
        try:
            for part in slices(records):
                for written, answers in _answers(ask, part, samples):
                    write(written, answers)
                    samples += len(written)
                    advance(len(written))
        except BertcError as error:
            if not samples:
                raise
            where = "standard output" if output is None else partial_path(output)
            raise BertcError(f"{error}. The first {samples} rows are kept in {where}") from None
    return {"samples": samples}


@contextmanager
def one_truncation_warning() -> Iterator[None]:
    """Give one warning for all texts that are cut in the block, which calls a model slice by slice."""
    found: list[TruncationWarning] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", TruncationWarning)
        show = warnings.showwarning

        def collect(message: Warning | str, *rest: Any, **options: Any) -> None:
            if isinstance(message, TruncationWarning):
                found.append(message)
            else:
                show(message, *rest, **options)

        warnings.showwarning = collect
        yield
    if found:
        truncated, total = (sum(getattr(each, name) for each in found) for name in ("truncated", "total"))
        warnings.warn(TruncationWarning(truncated, total, found[0].limit), stacklevel=2)


def _answers(ask: Ask, part: list[Record], first: int) -> Iterator[tuple[list[Record], Sequence[Any]]]:
    """Yield records and their answers, all at once, or one by one up to a text that is wrong.

    ``first`` is the row of the first record, for the message of the ``InputError`` that this raises.
    """
    try:
        answers = ask(part)
    except InputError:
        for row, record in enumerate(part, first):
            try:
                answers = ask([record])
            except InputError as error:
                raise InputError(_name_the_row(str(error), f"row {row} of the input")) from None
            yield [record], answers
    else:
        yield part, answers


def _name_the_row(message: str, where: str) -> str:
    """Return a message about one record alone with its place in the input."""
    if "inputs[0]" in message:
        return message.replace("inputs[0]", where)
    return f"{where}: {message.replace('[0]', '')}" if "[0]" in message else message


@contextmanager
def open_answers(output: Path | None) -> Iterator[WriteRows]:
    """Open the place where answers go as JSON lines: a file, or standard output."""
    from bertc.files.answers import answer_writer, to_json_line

    if output is None:
        yield lambda records, answers: typer.echo("\n".join(map(to_json_line, records, answers)))
        return
    if output.suffix.lower() != ".jsonl":
        raise typer.BadParameter("the output must end in .jsonl", param_hint="--output")
    with answer_writer(output) as write:
        yield write
