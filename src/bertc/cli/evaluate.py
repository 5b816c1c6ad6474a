"""``bertc eval``: scores a file on labeled data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertc.cli.console import AsJson, Model, Threads, print_facts, print_result

if TYPE_CHECKING:
    from bertc.encoder import Encoder
    from bertc.evaluation.engine import Result

app = typer.Typer(help="Score a file on labeled data (extra: eval).", no_args_is_help=True)

Data = Annotated[Path, typer.Option("--data", "-d", help="The labeled file.")]


@app.command("sts")
def sts_command(model: Model, data: Data, threads: Threads = None, as_json: AsJson = False) -> None:
    """Sentence similarity: Pearson and Spearman correlation, on the STS benchmark's format."""
    from bertc.evaluation import sts

    _report(sts.evaluate(_load(model, threads), data), as_json)


@app.command("classify")
def classify_command(model: Model, data: Data, threads: Threads = None, as_json: AsJson = False) -> None:
    """Classification: accuracy, precision, recall and F1, on tab-separated files as GLUE has them."""
    from bertc.evaluation import classification

    _report(classification.evaluate(_load(model, threads), data), as_json)


@app.command("ner")
def ner_command(model: Model, data: Data, threads: Threads = None, as_json: AsJson = False) -> None:
    """Named entities: entity F1 and label accuracy, on files with a word and its label per line."""
    from bertc.evaluation import ner

    _report(ner.evaluate(_load(model, threads), data), as_json)


@app.command("qa")
def qa_command(model: Model, data: Data, threads: Threads = None, as_json: AsJson = False) -> None:
    """Question answering: exact match and F1, on JSON files as SQuAD 1.1 and 2.0 have them."""
    from bertc.evaluation import question_answering

    _report(question_answering.evaluate(_load(model, threads), data), as_json)


def _load(model: str, threads: int | None) -> Encoder:
    from bertc.loading import load

    encoder = load(model, num_threads=threads)
    encoder.show_progress_bar = True
    return encoder


def _report(result: Result, as_json: bool) -> None:
    facts = {**result.metrics, **result.counts}
    print_result(result.to_dict(), as_json, lambda _: print_facts("score", facts))
