"""``bertc eval``: scores a model on labeled data, alone or beside a reference."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import (
    AsJson,
    Model,
    Subfolder,
    TextColumns,
    Threads,
    WordColumns,
    print_json,
    print_note,
    print_table,
    text_columns,
    word_columns,
)
from bertc.cli.rows import check_source

if TYPE_CHECKING:
    from bertc.encoder import Encoder
    from bertc.evaluation.result import Comparison, Result
    from bertc.report.score_tables import Scored

app = typer.Typer(help="Score a model on labeled data, alone or beside a reference.", no_args_is_help=True)

AnEvaluator = Any
"""An ``Evaluator``, whose module is imported when one is made."""
Data = Annotated[Path, typer.Option("--data", "-d", help="The labeled file, or hub:NAME#SUBSET@SPLIT.")]
Reference = Annotated[
    str | None,
    typer.Option(
        help="Another .bertc file, a checkpoint to compile to fp32, or a folder of outputs that another tool "
        "wrote (.npy, .npz, .bin): is the difference real?"
    ),
]
Recipes = Annotated[
    list[str] | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="How to compile a checkpoint: a recipe, or the name of a preset. Several: a row for each.",
    ),
]
Examples = Annotated[int, typer.Option(min=0, help="Show so many samples with the answers to them.")]
Report = Annotated[Path | None, typer.Option(help="Write all of it as one .html page.")]
Seed = Annotated[int, typer.Option(help="Of the resamples behind intervals and tests.")]


def _run(
    evaluator: AnEvaluator,
    model: Model,
    data: Data,
    reference: Reference = None,
    recipes: Recipes = None,
    examples: Examples = 0,
    report: Report = None,
    seed: Seed = 0,
    subfolder: Subfolder = "",
    threads: Threads = None,
    as_json: AsJson = False,
) -> None:
    """Run one evaluation: the options that all kinds share."""
    from bertc.atomic_file import check_destination
    from bertc.evaluation.evaluator import compare_all, evaluate

    if report is not None:
        check_destination(report)
        if len(recipes or ()) > 1:
            raise typer.BadParameter("a page is about one model: give one --recipe", param_hint="--report")
    check_source(data)
    chosen: list[str | None] = [*recipes] if recipes else [None]
    engines = {name or model: _load(model, threads, recipe=name, subfolder=subfolder) for name in chosen}
    engine = next(iter(engines.values()))
    found: Sequence[tuple[Result, Comparison | None]]
    if reference is None:
        found = [(evaluate(evaluator, each, data, seed=seed), None) for each in engines.values()]
    else:
        other = _reference(reference, engine, threads)
        found = compare_all(evaluator, list(engines.values()), other, data, seed=seed)
    scored = dict(zip(engines, found, strict=True))
    if report is not None:
        facts = {"model": model, "data": str(data), "reference": reference or "none", "seed": str(seed)}
        _write_report(report, f"{engine.info.name} on {data.name}", facts, *found[0])
    if as_json:
        print_json(_values(scored, examples, several=len(recipes or ()) > 1))
    else:
        _show(scored, examples)


def _values(scored: Scored, examples: int, *, several: bool) -> dict[str, Any]:
    """Return everything as plain values: of one model its own, of several a mapping of their names to it."""
    found = {}
    for name, (result, comparison) in scored.items():
        found[name] = result.to_dict() | ({} if comparison is None else {"comparison": comparison.to_dict()})
        if examples and result.outcomes is not None:
            pairs = zip(result.cases[:examples], result.outcomes.answers, strict=False)
            found[name]["examples"] = [{**case._asdict(), "answer": answer} for case, answer in pairs]
    return {"models": found} if several else next(iter(found.values()))


def _kind(name: str) -> Callable[[Callable[..., AnEvaluator]], None]:
    """Declare a command for an evaluator, with the options of what makes it and those of ``_run``."""

    def register(make: Callable[..., AnEvaluator]) -> None:
        own = inspect.signature(make, eval_str=True).parameters
        _, model, data, *shared = inspect.signature(_run, eval_str=True).parameters.values()

        def command(**options: Any) -> None:
            _run(make(**{name: options.pop(name) for name in own}), **options)

        command.__signature__ = inspect.Signature([model, data, *own.values(), *shared])  # type: ignore[attr-defined]
        app.command(name, help=make.__doc__)(command)

    return register


@_kind("sts")
def _sts() -> AnEvaluator:
    """Sentence similarity: Pearson and Spearman correlation, on the STS benchmark's format."""
    from bertc.evaluation.sts import Similarity

    return Similarity()


@_kind("classify")
def _classify(columns: TextColumns = None) -> AnEvaluator:
    """Classification: accuracy, precision, recall, F1 and Matthews, on tables as GLUE has them."""
    from bertc.evaluation.classification import Classification

    return Classification(columns=text_columns(columns))


@_kind("ner")
def _ner(
    columns: WordColumns = "1,-1",
) -> AnEvaluator:
    """Named entities: entity F1 and label accuracy, on files with a word and its label per line."""
    from bertc.evaluation.ner import NamedEntities

    return NamedEntities(columns=word_columns(columns))


@_kind("qa")
def _qa() -> AnEvaluator:
    """Question answering: exact match and F1, on JSON files as SQuAD 1.1 and 2.0 have them."""
    from bertc.evaluation.question_answering import Answers

    return Answers()


@_kind("rerank")
def _rerank(
    run: Annotated[
        Path | None, typer.Option(help="TREC's file of the documents to rank, if --data is a folder.")
    ] = None,
    first_stage: Annotated[
        str | None, typer.Option(metavar="EMBEDDER", help="A model that chooses what is ranked.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many documents the first stage chooses.")] = 20,
    depth: Annotated[int, typer.Option(min=1, help="The places that MRR and NDCG look at.")] = 10,
) -> AnEvaluator:
    """Rankings: MAP, MRR, NDCG, on tables of query, document, label, folders of a corpus, or SQuAD's JSON."""
    from bertc.evaluation.rerank import Rankings

    chooser = None if first_stage is None else _load(first_stage, None)
    return Rankings(depth=depth, run_file=run, first_stage=chooser, top_k=top_k)


@_kind("fill-mask")
def _fill_mask(
    share: Annotated[
        float, typer.Option(help="The share of tokens that is masked.", min=0.0, max=1.0)
    ] = 0.15,
    every_token: Annotated[
        bool, typer.Option("--every-token", help="Mask every token, each alone (slow).")
    ] = False,
    mask_seed: Annotated[int, typer.Option(help="Chooses the tokens.")] = 0,
) -> AnEvaluator:
    """Masked words: pseudo-perplexity and accuracy, on a file with a text per line."""
    from bertc.evaluation.fill_mask import MaskedWords

    return MaskedWords(share=None if every_token else share, seed=mask_seed)


@_kind("pairs")
def _pairs(
    threshold: Annotated[
        float | None, typer.Option(help="The score from which on a pair is a match; default: the best one.")
    ] = None,
    positive_from: Annotated[
        float | None, typer.Option(help="The label from which on it should be, where labels are scores.")
    ] = None,
    columns: TextColumns = None,
) -> AnEvaluator:
    """Pairs: accuracy, F1 and average precision of matches, by cosine or cross-encoder."""
    from bertc.evaluation.pairs import PairDecisions

    return PairDecisions(threshold, positive_from, text_columns(columns))


def _reference(name: str, engine: Encoder, threads: int | None) -> Any:
    """Return the engine of a compiled file, of a checkpoint in fp32, or of recorded outputs."""
    from bertc.evaluation.recorded import RecordedLogits, RecordedVectors, is_recorded
    from bertc.evaluation.replay import Replay, is_replayed

    path = Path(name)
    if is_recorded(path) and path.exists():
        if is_replayed(path, engine):
            return Replay(engine, path)
        return RecordedLogits(path, engine.info.labels) if engine.info.labels else RecordedVectors(path)
    from bertc.loading import is_compiled

    return _load(name, threads, dtype=None if is_compiled(name) else "fp32")


def _load(
    model: str,
    threads: int | None,
    dtype: str | None = None,
    recipe: str | None = None,
    subfolder: str = "",
) -> Encoder:
    from bertc.loading import load

    encoder = load(model, num_threads=threads, dtype=dtype, recipe=recipe, subfolder=subfolder)
    encoder.show_progress_bar = True
    return encoder


def _write_report(
    path: Path, title: str, facts: dict[str, str], result: Result, comparison: Comparison | None
) -> None:
    from bertc.atomic_file import replace_atomically
    from bertc.report.score_page import render

    page = render(title, facts, result, comparison).encode()
    with replace_atomically(path) as target:
        target.write(page)


def _show(scored: Scored, examples: int) -> None:
    from bertc.report import score_tables

    for table in score_tables.for_terminals(scored, examples):
        print_table(*table)
    for name, (_, comparison) in scored.items():
        if comparison is not None:
            print_note(comparison.summary if len(scored) == 1 else f"{name}: {comparison.summary}")
