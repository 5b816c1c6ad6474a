"""``bertc eval``: scores a file on labeled data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertc.cli.console import AsJson, ModelFile, Threads, print_facts, print_json

if TYPE_CHECKING:
    from bertc.encoder import Encoder
    from bertc.evaluation.engine import Result

app = typer.Typer(help="Score a file on labelled data (extra: eval).", no_args_is_help=True)

Data = Annotated[Path, typer.Option("--data", "-d", help="The labelled file.")]


@app.command("sts")
def sts_command(file: ModelFile, data: Data, threads: Threads = None, as_json: AsJson = False) -> None:
    """Sentence similarity: Pearson and Spearman correlation, on the STS benchmark's format."""
    from bertc.evaluation import sts

    _report(sts.evaluate(_load(file, threads), data), as_json)


@app.command("classify")
def classify_command(file: ModelFile, data: Data, threads: Threads = None, as_json: AsJson = False) -> None:
    """Classification: accuracy, precision, recall and F1, on tab-separated files as GLUE has them."""
    from bertc.evaluation import classification

    _report(classification.evaluate(_load(file, threads), data), as_json)


@app.command("ner")
def ner_command(file: ModelFile, data: Data, threads: Threads = None, as_json: AsJson = False) -> None:
    """Named entities: entity F1 and label accuracy, on files with a word and its label per line."""
    from bertc.evaluation import ner

    _report(ner.evaluate(_load(file, threads), data), as_json)


@app.command("qa")
def qa_command(file: ModelFile, data: Data, threads: Threads = None, as_json: AsJson = False) -> None:
    """Question answering: exact match and F1, on JSON files as SQuAD 1.1 and 2.0 have them."""
    from bertc.evaluation import question_answering

    _report(question_answering.evaluate(_load(file, threads), data), as_json)


def _load(file: Path, threads: int | None) -> Encoder:
    from bertc.encoder import load

    encoder = load(file, num_threads=threads)
    encoder.show_progress_bar = True
    return encoder


def _report(result: Result, as_json: bool) -> None:
    if as_json:
        print_json(result.to_dict())
        return
    print_facts("score", {**result.metrics, **result.counts})
