"""``bertc run`` and its named forms: classify, tag, answer, rerank, fill-mask. Answers are JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from bertc.cli.console import Model, Subfolder, Threads
from bertc.cli.data import run_data_list
from bertc.cli.rows import (
    AnswerFile,
    Ask,
    Column,
    InputFormat,
    PairColumn,
    Source,
    Texts,
    answer_all,
    items_of,
    open_answers,
    records_of,
)
from bertc.errors import InputError

if TYPE_CHECKING:
    from bertc.encoder import Encoder
    from bertc.files.texts import Record

TopK = Annotated[int | None, typer.Option(min=1, help="How many answers for each text, best first.")]


def classify(
    model: Model,
    texts: Texts = None,
    source: Source = None,
    input_format: InputFormat = None,
    output: AnswerFile = None,
    column: Column = "text",
    pair_column: PairColumn = None,
    top_k: TopK = 1,
    labels: Annotated[
        list[str] | None,
        typer.Option("--label", help="A candidate label, for a model of natural language inference."),
    ] = None,
    id_column: IdColumn = None,
    on_null: NullPolicy = OnNull.NULL,
    resume: Resume = False,
    instances: Instances = 1,
    batch_tokens: BatchTokens = None,
    ray: Ray = None,
    subfolder: Subfolder = "",
    threads: Threads = None,
) -> None:
    """Classify texts or pairs of texts."""
    if labels and top_k != 1:
        raise typer.BadParameter("every label has a score: leave --top-k out", param_hint="--label")
    job = JobOptions(id_column, on_null, resume, instances, batch_tokens, ray)
    if output is not None and is_folder(output):
        from bertc.bulk.results import Question

        if labels:
            raise typer.BadParameter("a folder has the model's own labels", param_hint="--label")
        columns = (column,) if pair_column is None else (column, pair_column)
        question = Question("classify", {"top_k": top_k})
        run_bulk(_load(model, subfolder, threads), question, source, output, columns, job)
        return
    refuse_options(job)
    records = records_of(texts, source, input_format, column, pair_column)
    encoder = _load(model, subfolder, threads)
    method = encoder.classify  # fails here for a model of another task
    options: dict[str, Any] = {"candidate_labels": labels} if labels else {"top_k": top_k}
    _answer(encoder, records, lambda part: method(items_of(part), **options), output, source)


def tag(
    model: Model,
    texts: Texts = None,
    source: Source = None,
    input_format: InputFormat = None,
    output: AnswerFile = None,
    column: Column = "text",
    aggregation_strategy: Annotated[
        str, typer.Option(help="How tokens are joined: none, simple, first, average or max.")
    ] = "simple",
    id_column: IdColumn = None,
    on_null: NullPolicy = OnNull.NULL,
    resume: Resume = False,
    instances: Instances = 1,
    batch_tokens: BatchTokens = None,
    ray: Ray = None,
    subfolder: Subfolder = "",
    threads: Threads = None,
) -> None:
    """Find named entities, or whatever else a model labels tokens by."""
    job = JobOptions(id_column, on_null, resume, instances, batch_tokens, ray)
    if output is not None and is_folder(output):
        from bertc.bulk.results import Question

        question = Question("tag", {"aggregation_strategy": aggregation_strategy})
        run_bulk(_load(model, subfolder, threads), question, source, output, (column,), job)
        return
    refuse_options(job)
    records = records_of(texts, source, input_format, column)
    encoder = _load(model, subfolder, threads)
    method = encoder.tag
    _answer(
        encoder,
        records,
        lambda part: method(items_of(part), aggregation_strategy=aggregation_strategy),
        output,
        source,
    )


def fill_mask(
    model: Model,
    texts: Texts = None,
    source: Source = None,
    input_format: InputFormat = None,
    output: AnswerFile = None,
    column: Column = "text",
    top_k: TopK = 5,
    targets: Annotated[
        list[str] | None, typer.Option("--target", help="A word that may stand there; default: any.")
    ] = None,
    subfolder: Subfolder = "",
    threads: Threads = None,
) -> None:
    """Fill in masked words."""
    records = records_of(texts, source, input_format, column)
    encoder = _load(model, subfolder, threads)
    method = encoder.fill_mask
    _answer(
        encoder,
        records,
        lambda part: method(items_of(part), top_k=top_k, targets=targets or None),
        output,
        source,
    )


def answer(
    model: Model,
    question: Annotated[str | None, typer.Option("--question", "-q", help="A question.")] = None,
    context: Annotated[str | None, typer.Option("--context", "-c", help="The text that answers it.")] = None,
    source: Source = None,
    input_format: InputFormat = None,
    output: AnswerFile = None,
    question_column: Annotated[str, typer.Option(help="Where files have the question.")] = "question",
    context_column: Annotated[str, typer.Option(help="Where they have the text.")] = "context",
    top_k: Annotated[int, typer.Option(min=1, help="How many answers, best first.")] = 1,
    handle_impossible_answer: Annotated[
        bool, typer.Option("--handle-impossible-answer", help="The answer may be that there is none.")
    ] = False,
    subfolder: Subfolder = "",
    threads: Threads = None,
) -> None:
    """Answer questions by texts that hold the answers."""
    from bertc.files.texts import Record

    if (question is None) != (context is None) or (question is None) == (source is None):
        raise typer.BadParameter("give --question and --context, or a file with --input")
    if question is not None:
        records = iter([Record(0, question, context)])
    else:
        records = records_of(None, source, input_format, question_column, context_column)
    encoder = _load(model, subfolder, threads)
    method = encoder.answer
    _answer(
        encoder,
        records,
        lambda part: method(
            [each.text for each in part],
            [each.pair or "" for each in part],
            top_k=top_k,
            handle_impossible_answer=handle_impossible_answer,
        ),
        output,
        source,
    )


def rerank(
    model: Model,
    documents: Annotated[list[str] | None, typer.Argument(metavar="DOCUMENT", help="What to rank.")] = None,
    *,
    query: Annotated[
        str | None, typer.Option("--query", "-q", help="What the documents shall answer.")
    ] = None,
    source: Source = None,
    input_format: InputFormat = None,
    output: AnswerFile = None,
    query_column: Annotated[
        str, typer.Option(help="Of a folder as output: where each row has its query.")
    ] = "query",
    column: Column = "text",
    top_k: TopK = None,
    id_column: IdColumn = None,
    on_null: NullPolicy = OnNull.NULL,
    resume: Resume = False,
    instances: Instances = 1,
    batch_tokens: BatchTokens = None,
    ray: Ray = None,
    subfolder: Subfolder = "",
    threads: Threads = None,
) -> None:
    """Rank documents by how well they answer a query, the best first; a folder has the score of each row."""
    job = JobOptions(id_column, on_null, resume, instances, batch_tokens, ray)
    if output is not None and is_folder(output):
        from bertc.bulk.results import Question

        if query is not None or top_k is not None:
            raise typer.BadParameter(
                "a folder has the score of each pair of --query-column and --column: leave --query and "
                "--top-k out",
                param_hint="--output",
            )
        columns = (query_column, column)
        run_bulk(_load(model, subfolder, threads), Question("predict"), source, output, columns, job)
        return
    refuse_options(job)
    if query is None:
        raise typer.BadParameter("name what the documents shall answer", param_hint="--query")
    records = list(records_of(documents, source, input_format, column))
    encoder = _load(model, subfolder, threads)
    ranking = encoder.rank(query, [each.text for each in records], top_k=top_k)
    with open_answers(output) as write:
        write([records[each["corpus_id"]] for each in ranking], [each["score"] for each in ranking])


def run(
    model: Model,
    texts: Texts = None,
    source: Source = None,
    input_format: InputFormat = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .jsonl file, of vectors also what embed writes; without it, standard output. With "
            "--data-list a new folder.",
        ),
    ] = None,
    column: Column = "text",
    pair_column: PairColumn = None,
    data_list: Annotated[
        Path | None,
        typer.Option(
            help="Token ids instead of texts: a list of .npz or .npy files, a folder of such, or one with a "
            "folder per input, as bertc data prepare makes them."
        ),
    ] = None,
    save_as: Annotated[
        str, typer.Option(help="With --data-list, the files to write: npz, npy, bin or txt.")
    ] = "npz",
    subfolder: Subfolder = "",
    threads: Threads = None,
) -> None:
    """Do what the model is for, by its main method; the named forms have its options."""
    from bertc.cli.embed import check_output, embed_all
    from bertc.task_table import TASKS

    if data_list is not None:
        if texts or source is not None:
            raise typer.BadParameter(
                "it has the inputs: leave texts and --input out", param_hint="--data-list"
            )
        run_data_list(lambda: _load(model, subfolder, threads), data_list, output, save_as)
        return
    records = records_of(texts, source, input_format, column, pair_column)
    encoder = _load(model, subfolder, threads)
    if TASKS[encoder.info.task].compares == "vectors":
        check_output(output)
        embed_all(encoder, records, output, {}, show_progress=source is not None)
        return
    _answer(encoder, records, _main_method(encoder), output, source)


def _main_method(encoder: Encoder) -> Ask:
    """Return the main method of a model's task, as a function of records."""
    from bertc.task_table import TASKS

    task = TASKS[encoder.info.task]
    if task.takes == "choices":
        raise InputError(f"{encoder.info.name} chooses among texts, which is for Python: call choose")
    method: Callable[..., Any] = getattr(encoder, task.methods[0])
    if task.takes == "pairs":
        return lambda part: method([each.text for each in part], [each.pair or "" for each in part])
    return lambda part: method(items_of(part))


def _load(model: str, subfolder: str, threads: int | None) -> Encoder:
    from bertc.loading import load

    return load(model, subfolder=subfolder, num_threads=threads)


def _answer(
    encoder: Encoder, records: Iterator[Record], ask: Ask, output: AnswerFile, source: str | None
) -> None:
    with open_answers(output) as write:
        answer_all(ask, records, write, output, encoder.info.task, show_progress=source is not None)
