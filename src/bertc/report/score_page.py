"""The page of an evaluation: scores, what chance does to them, classes, disagreements of two models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape

from bertc.evaluation.result import Comparison, Result
from bertc.report import charts, html, score_tables
from bertc.version import __version__

WORST = 20


def render(title: str, facts: Mapping[str, str], result: Result, comparison: Comparison | None = None) -> str:
    """Return the whole page as HTML; ``facts`` say what was evaluated on what."""
    sections = (
        _summary(title, result, comparison),
        _classes(result, comparison),
        _disagreements(comparison),
        _origin(facts, result),
    )
    return html.document(title, sections)


def _summary(title: str, result: Result, comparison: Comparison | None) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1>"
    if comparison is not None:
        yield f'<p class="lead">{escape(comparison.summary)}</p>'
    yield html.cards((f"{score:.2f}", name) for name, score in list(result.metrics.items())[:4])
    yield html.table(score_tables.scores(result, comparison))
    yield (
        '<p class="soft">An interval holds 95 % of the scores of 1000 random choices of as many samples, '
        "with replacement: other samples of the same kind could have given any of these.</p>"
    )


def _classes(result: Result, comparison: Comparison | None) -> Iterator[str]:
    if result.classes:
        yield "<h2>How does each class do?</h2>"
        yield html.table(score_tables.per_class(result, comparison))
    if result.confusion is not None:
        yield html.figure(
            charts.confusion_grid(result.confusion.labels, result.confusion.counts.tolist()),
            "Rows are what is right, columns what the model says, at most 25 classes, those with most "
            "errors. The darker, the larger the share of the row.",
        )


def _disagreements(comparison: Comparison | None) -> Iterator[str]:
    if comparison is not None and comparison.worst:
        yield "<h2>Where do the two disagree?</h2>"
        yield html.table(score_tables.disagreements(comparison, WORST), numbers=())


def _origin(facts: Mapping[str, str], result: Result) -> Iterator[str]:
    yield "<h2>What was this measured on?</h2>"
    yield html.facts([*facts.items(), *((name, count) for name, count in score_tables.counts(result).rows)])
    yield f'<p class="soft">Written by bertc {escape(__version__)}.</p>'
