"""``bertc finetune``: trains a checkpoint on labeled data, and compiles what comes out."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import (
    AsJson,
    DTypeName,
    TextColumns,
    WordColumns,
    print_facts,
    print_json,
    print_table,
    text_columns,
    word_columns,
)
from bertc.cli.rows import check_source, one_truncation_warning

if TYPE_CHECKING:
    from bertc.training.finetune import Finetuned

app = typer.Typer(
    help="Train a checkpoint on labeled data, score each epoch, and compile the best.", no_args_is_help=True
)

Base = Annotated[str, typer.Option("--base", "-b", help="A checkpoint: a folder, or a hub id.")]
Data = Annotated[Path, typer.Option("--data", "-d", help="What to train on, or hub:NAME#SUBSET@SPLIT.")]
EvalData = Annotated[Path, typer.Option("--eval", "-e", help="What each epoch is scored on.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="A new folder, or that of a run to go on with.")]
NewHead = Annotated[
    bool, typer.Option("--new-head", help="Train a new head in the place of the one that the base has.")
]


def _run(
    kind: str,
    own: dict[str, Any],
    base: Base,
    data: Data,
    eval_data: EvalData,
    output: Output,
    epochs: Annotated[int, typer.Option(min=1, help="The most epochs.")] = 3,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per step.")] = 32,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="The highest one.", show_default="5e-5; 2e-5 for sts and pairs"),
    ] = None,
    warmup: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The share of steps in which the rate rises.")
    ] = 0.1,
    weight_decay: Annotated[float, typer.Option(min=0.0, help="Of matrices.")] = 0.01,
    max_length: Annotated[
        int | None,
        typer.Option(min=8, help="Tokens of a sequence.", show_default="128; 256 for ner, 384 for qa"),
    ] = None,
    patience: Annotated[
        int, typer.Option(min=0, help="Stop after so many epochs that are no better; 0: never.")
    ] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the new head, the order of samples, dropout.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume/--no-resume", help="Go on with a run that was stopped, or begin again.")
    ] = True,
    save_minutes: Annotated[
        float, typer.Option(min=0.0, help="How often the state is saved, besides after each epoch.")
    ] = 5.0,
    dtype: Annotated[
        DTypeName | None, typer.Option(help="Of the compiled file; int8 if no recipe says another.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(help="For compiling: a recipe, .json or .yaml, or the name of a preset.")
    ] = None,
    no_compile: Annotated[bool, typer.Option("--no-compile", help="Make the checkpoint alone.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run one fine-tuning: the options that all kinds share."""
    from bertc.training.finetune import finetune

    for path in (data, eval_data):
        check_source(path)
    with one_truncation_warning():
        result = finetune(
            kind,
            base=base,
            data=data,
            eval_data=eval_data,
            output=output,
            recipe=recipe,
            dtype=None if dtype is None else dtype.value,
            compile=not no_compile,
            resume=resume,
            save_minutes=save_minutes,
            show_progress=not as_json or sys.stderr.isatty(),
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            warmup=warmup,
            weight_decay=weight_decay,
            max_length=max_length,
            patience=patience,
            seed=seed,
            **own,
        )
    if as_json:
        print_json(_facts(result))
    else:
        _show(result)


def _kind(name: str) -> Callable[[Callable[..., dict[str, Any]]], None]:
    """Declare a command for a kind: its own options, which become settings, and those of ``_run``."""

    def register(settings: Callable[..., dict[str, Any]]) -> None:
        own = inspect.signature(settings, eval_str=True).parameters
        shared = list(inspect.signature(_run, eval_str=True).parameters.values())[2:]
        required = [each for each in shared if each.default is each.empty]
        optional = shared[len(required) :]

        def command(**options: Any) -> None:
            _run(name, settings(**{name: options.pop(name) for name in own}), **options)

        command.__signature__ = inspect.Signature([*required, *own.values(), *optional])  # type: ignore[attr-defined]
        app.command(name, help=settings.__doc__)(command)

    return register


@_kind("classify")
def _classify(
    columns: TextColumns = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="The names of the classes by number, as negative,positive. Default: those in the data."
        ),
    ] = None,
    new_head: NewHead = False,
) -> dict[str, Any]:
    """Classes of texts or pairs, of tables as GLUE has them."""
    names = () if labels is None else tuple(label.strip() for label in labels.split(","))
    if labels is not None and (len(names) < 2 or "" in names):
        raise typer.BadParameter("expected two names or more, as negative,positive", param_hint="--labels")
    return {"columns": text_columns(columns), "labels": names, "new_head": new_head}


@_kind("ner")
def _ner(columns: WordColumns = "1,-1", new_head: NewHead = False) -> dict[str, Any]:
    """Named entities, of files with a word and its label per line."""
    return {"columns": word_columns(columns), "new_head": new_head}


@_kind("sts")
def _sts() -> dict[str, Any]:
    """Sentence similarity: an embedder that pools by the mean, of pairs with scores."""
    return {}


@_kind("qa")
def _qa(
    stride: Annotated[int, typer.Option(min=0, help="Tokens that windows of a context share.")] = 128,
    new_head: NewHead = False,
) -> dict[str, Any]:
    """Answers in contexts, of JSON files as SQuAD 1.1 and 2.0 have them."""
    return {"stride": stride, "new_head": new_head}


@_kind("pairs")
def _pairs(
    columns: TextColumns = None,
    positive_from: Annotated[
        float | None, typer.Option(help="The label from which on it is 1, where labels are scores.")
    ] = None,
    new_head: NewHead = False,
) -> dict[str, Any]:
    """Pairs that belong together or not: a cross-encoder with one score."""
    return {"columns": text_columns(columns), "positive_from": positive_from, "new_head": new_head}


def _facts(result: Finetuned) -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "artifact": None if result.artifact is None else str(result.artifact),
        "metric": result.metric,
        "best_epoch": result.best_epoch,
        "epochs": result.epochs,
        "scores": dict(result.scores),
    }


def _show(result: Finetuned) -> None:
    metric = result.metric
    rows = [
        (number, epoch["loss"], epoch["metrics"][metric], "best" if number == result.best_epoch else "")
        for number, epoch in enumerate(result.epochs, 1)
    ]
    print_table("epochs", ("epoch", "loss", f"{metric} in fp32", ""), rows)
    facts: dict[str, Any] = {"checkpoint": str(result.folder)}
    if result.artifact is not None and result.certificate is not None:
        facts["file"] = str(result.artifact)
        facts["certificate"] = result.certificate.summary
        facts["its scores"] = ", ".join(f"{name} {score:.2f}" for name, score in result.scores.items())
    print_facts("fine-tuned", facts)
