"""The tables of an evaluation, as its page and ``bertc eval`` have them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bertc.evaluation.result import Comparison, Result
from bertc.report.tables import Table

Scored = Mapping[str, tuple[Result, Comparison | None]]
"""Models of one task by name, each perhaps beside one reference."""


def scores(result: Result, comparison: Comparison | None) -> Table:
    """Return each metric with its interval, and beside a reference the difference with its own."""
    columns = ["metric", "score", "95 % interval"]
    rows = [[name, f"{score:.2f}", _range(result.intervals[name])] for name, score in result.metrics.items()]
    if comparison is not None:
        columns += ["reference", "difference", "95 % interval of it", "p"]
        for row, (name, each) in zip(rows, comparison.differences.items(), strict=True):
            spread = _range((each.low, each.high))
            row += [
                f"{comparison.reference.metrics[name]:.2f}",
                f"{round(each.value, 2) + 0.0:+.2f}",
                spread,
                f"{each.p:.2g}",
            ]
    return Table("scores", columns, rows)


def side_by_side(scored: Scored) -> Table:
    """Return a row for each model with its metrics, after that of their reference, and how it differs."""
    result, comparison = next(iter(scored.values()))
    metrics = list(result.metrics)
    main = "" if comparison is None else comparison.metric
    columns = [
        "model",
        *metrics,
        f"difference of {main}",
        "95 % interval of it",
        "p",
        "other answers",
        "cosine",
    ]
    rows = [] if comparison is None else [["reference", *_spelled(comparison.reference), *[""] * 5]]
    for name, (each, beside) in scored.items():
        rows.append([name, *_spelled(each), *([""] * 5 if beside is None else _difference(beside))])
    return Table("models", columns, rows)


def _spelled(result: Result) -> list[str]:
    return [f"{score:.2f}" for score in result.metrics.values()]


def _difference(comparison: Comparison) -> list[str]:
    found = comparison.differences[comparison.metric]
    return [
        f"{round(found.value, 2) + 0.0:+.2f}",
        _range((found.low, found.high)),
        f"{comparison.p:.2g}",
        f"{comparison.disagreements:,} of {comparison.reference.counts['samples']:,}",
        "" if comparison.cosines is None else f"{comparison.cosines.mean:.5f}",
    ]


def examples(scored: Scored, most: int, length: int = 100) -> Table:
    """Return the first samples with what each model and the reference makes of them."""
    result, comparison = next(iter(scored.values()))
    beside = [] if comparison is None else [("reference", comparison.reference)]
    models = [*beside, *((name, each) for name, (each, _) in scored.items())]
    answers = [each.outcomes.answers for _, each in models if each.outcomes is not None]
    rows = [
        [
            case.id,
            *(shorten(text, length) for text in (case.text, case.expected, *(each[row] for each in answers))),
        ]
        for row, case in enumerate(result.cases[:most])
    ]
    return Table("examples", ["sample", "text", "expected", *(name for name, _ in models)], rows)


def counts(result: Result) -> Table:
    """Return what the scores were measured on."""
    rows = [*((name, f"{count:,}") for name, count in result.counts.items()), *result.facts.items()]
    return Table("measured on", ("what", "count"), rows)


def per_class(result: Result, comparison: Comparison | None) -> Table:
    """Return the scores of each class alone, and beside a reference the difference of F1."""
    columns = ["class", "precision", "recall", "f1", "samples"]
    rows = [
        [name, *(f"{each[score]:.2f}" for score in columns[1:4]), f"{each['samples']:,}"]
        for name, each in result.classes.items()
    ]
    if comparison is not None:
        columns.append("f1 of the reference")
        for row, name in zip(rows, result.classes, strict=True):
            other = comparison.reference.classes.get(name)
            row.append("-" if other is None else f"{other['f1']:.2f}")
    return Table("classes", columns, rows)


def disagreements(comparison: Comparison, most: int, length: int = 300) -> Table:
    """Return the worst disagreements with their texts, of which ``length`` characters are shown."""
    columns = ("sample", "expected", "this model", "reference", "text")
    rows = [
        (
            each.id,
            *(shorten(text, length) for text in (each.expected, each.answer, each.reference, each.text)),
        )
        for each in comparison.worst[:most]
    ]
    return Table("worst disagreements", columns, rows)


def for_terminals(scored: Scored, most_examples: int = 0) -> Iterator[Table]:
    """Yield every table that is not empty, with few disagreements: a page has more."""
    result, comparison = next(iter(scored.values()))
    found = [examples(scored, most_examples)]
    if len(scored) > 1:
        found += [side_by_side(scored), counts(result)]
    else:
        found += [scores(result, comparison), counts(result), per_class(result, comparison)]
    if len(scored) == 1 and comparison is not None:
        found.append(disagreements(comparison, most=5, length=100))
    yield from (table for table in found if table.rows)


def _range(ends: tuple[float, float]) -> str:
    low, high = (round(end, 2) + 0.0 for end in ends)  # no -0.00
    return f"{low:.2f} to {high:.2f}"


def shorten(text: str, length: int) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= length else text[: length - 1] + "…"
