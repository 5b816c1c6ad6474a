"""The page of two runs or two folders of outputs side by side, with charts."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

from bertc.compare.outputs import OutputComparison
from bertc.compare.runs import SPEED, RunComparison
from bertc.report import charts, compare_tables, html
from bertc.version import __version__

CHARTS = {
    SPEED: ("samples per second", "Longer bars are faster."),
    "p50_ms": ("milliseconds, the median of requests", "Shorter bars are faster."),
    "p99_ms": ("milliseconds, of 99 requests in 100 at most", "Shorter bars are faster."),
}
"""What is drawn of runs: the figure, its unit, and how to read it."""


def render_runs(comparison: RunComparison) -> str:
    """Return the page of two runs as HTML."""
    title = f"{comparison.first.path.name} and {comparison.second.path.name}"
    return html.document(title, (_run_summary(comparison, title), _figures(comparison), _rest(comparison)))


def _run_summary(comparison: RunComparison, title: str) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1>"
    yield _sides(comparison.first.path, comparison.second.path)
    if comparison.speedup is not None:
        facts = [(f"{comparison.speedup:.3f}", "B's samples/s over A's, the median of the rows")]
        yield html.cards([*facts, (f"{len(comparison.shared):,}", "rows that both have")])
    for run in (comparison.first, comparison.second):
        if not run.complete:
            path = escape(str(run.path))
            yield f'<p class="note">{path} was interrupted: it has what was measured by then.</p>'
    yield html.table(compare_tables.speeds(comparison))
    if any(comparison.noise(name) is not None for name in comparison.shared):
        yield (
            '<p class="soft">The spread is the distance of the quartiles over the rounds of a run, '
            "the larger of the two. A ratio that is within it tells nothing.</p>"
        )


def _figures(comparison: RunComparison) -> Iterator[str]:
    for figure, (unit, hint) in CHARTS.items():
        found = [(name, pair) for name in comparison.shared if (pair := comparison.pair(name, figure))]
        if found:
            bars = [(name, *pair) for name, pair in found]
            caption = f"{unit.capitalize()}: A above in gray, B below in color. {hint}"
            yield html.figure(charts.paired_bars(bars, unit), caption)


def _rest(comparison: RunComparison) -> Iterator[str]:
    for table, numbers in (
        (compare_tables.scores(comparison), None),
        (compare_tables.energy(comparison), None),
        (compare_tables.circumstances(comparison), ()),
    ):
        if table.rows:
            yield f"<h2>{escape(table.title.capitalize())}</h2>"
            yield html.table(table, numbers)
    for names, side in zip(comparison.only, ("A", "B"), strict=True):
        if names:
            yield f"<p>Only in {side}: {escape(', '.join(names))}.</p>"
    yield _signature()


def render_outputs(comparison: OutputComparison) -> str:
    """Return the page of two folders of outputs as HTML."""
    title = f"{comparison.first.path.name} and {comparison.second.path.name}"
    return html.document(title, (_outputs(comparison, title),))


def _outputs(comparison: OutputComparison, title: str) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1>"
    yield _sides(comparison.first.path, comparison.second.path)
    for folder in (comparison.first, comparison.second):
        if folder.partial:
            yield f'<p class="note">{escape(str(folder.path))} is partial, as its summary says.</p>'
    yield html.facts((name, value) for name, value in compare_tables.totals(comparison).rows)
    table = compare_tables.worst(comparison)
    if table.rows:
        yield f"<h2>{escape(table.title.capitalize())}</h2>"
        yield html.table(table)
    for names, side in ((comparison.only_first, "A"), (comparison.only_second, "B")):
        if names:
            yield f"<h2>Only in {side}</h2><p>{escape(', '.join(names))}</p>"
    yield _signature()


def _sides(first: Path, second: Path) -> str:
    return f'<p class="lead">A is {escape(str(first))}, B is {escape(str(second))}.</p>'


def _signature() -> str:
    return f'<p class="soft">Written by bertc {escape(__version__)}.</p>'
