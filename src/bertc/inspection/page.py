"""The page of an inspection: the graph as a picture, and its modules as a table, with nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from importlib import resources
from typing import Any

from bertc.inspection.facts import Inspection
from bertc.inspection.picture import draw
from bertc.inspection.table import MEGA, NUMBERS, tabulate
from bertc.report import html
from bertc.report.tables import Table
from bertc.task_table import TASKS
from bertc.version import __version__

_COLORS = {"dtype": "dtype", "place": "where it runs", "cost": "cost"}
"""What the picture can be colored by; the first is chosen."""


def render(inspection: Inspection) -> str:
    """Return the whole page as HTML."""
    style = resources.files("bertc.inspection").joinpath("graph.css").read_text("utf-8")
    sections = (_summary(inspection), _picture(inspection), _table(inspection), _more(inspection))
    return html.document(f"{inspection.model}: graph", sections, style)


def _summary(found: Inspection) -> Iterator[str]:
    does = TASKS[found.task].does if found.task in TASKS else f"does {found.task}"
    how = "compiled to" if found.compiled else "as compiling would make it, in"
    yield f"<h1>{escape(found.model)}</h1>"
    yield (
        f'<p class="lead">A {escape(found.architecture)} that {escape(does)}, {how} '
        f"<b>{escape(found.dtype)}</b>. This page says what it is made of, and where each part runs.</p>"
    )
    shape = f"{found.batch} x {found.length} tokens"
    facts = [
        (f"{found.parameters / MEGA:,.2f} M", "parameters"),
        (f"{found.bytes / MEGA:,.2f} MB", "constants"),
        (f"{found.operations / 1e9:,.3f} G", f"FLOP, {shape}"),
        (f"{found.operations_per_token / MEGA:,.2f} M", "FLOP per token"),
    ]
    if found.measured is not None:
        facts.append((f"{found.measured.milliseconds:,.2f} ms", f"time, {shape}"))
    yield html.cards([*facts, (f"{len(found.on_host)} of {len(found.nodes)}", "nodes on the host")])


def _picture(found: Inspection) -> Iterator[str]:
    yield "<h2>What is it made of?</h2>"
    yield '<div class="graph" role="group" aria-label="What the picture is colored by"><b>Color by</b>'
    for name, label in _COLORS.items():
        chosen = " checked" if name == "dtype" else ""
        yield f'<input type="radio" name="color" id="by-{name}"{chosen}>'
        yield f'<label for="by-{name}">{label}</label>'
    caption = "From the inputs down to the outputs. Modules that are alike are drawn once, in a dashed frame."
    yield html.figure(_wide(draw(found)), caption, _legends(found))
    yield "</div>"


def _legends(found: Inspection) -> str:
    by = "time" if found.measured else "operations"
    dtypes = dict.fromkeys(node.dtype for node in found.nodes)
    places = dict.fromkeys(node.place for node in found.nodes)
    legends = {
        "dtype": "".join(f'<span class="key {escape(name)}"></span>{escape(name)}' for name in dtypes),
        "place": "".join(f'<span class="key {escape(name)}"></span>{escape(name)}' for name in places),
        "cost": f"The redder, the more {by} it takes, with all that are alike.",
    }
    return "".join(f'<div class="legend {name}">{legend}</div>' for name, legend in legends.items())


def _table(found: Inspection) -> Iterator[str]:
    table = tabulate(found, indent="\u2003")
    used = [index for index in range(len(table.columns)) if any(row[index] != "" for row in table.rows)]
    columns = [table.columns[index] for index in used]
    rows = [[_spell(row[index]) for index in used] for row in table.rows]
    yield "<h2>How large is each part?</h2>"
    yield (
        f"<p>{escape(table.title[:1].upper() + table.title[1:])}. Several that are alike are one row (6x), "
        "whose figures are their sums. A tensor that several read counts once; a table that is also the "
        "matrix of a decoder is stored twice, and counts twice.</p>"
    )
    numbers = [index for index, column in enumerate(columns) if column in NUMBERS]
    yield _wide(html.table(Table("", columns, rows), numbers, class_="tree"))


def _more(found: Inspection) -> Iterator[str]:
    yield "<h2>What goes in and out?</h2>"
    yield html.facts(
        [
            *((f"input {value.name}", str(value)) for value in found.inputs),
            *((f"output {value.name}", str(value)) for value in found.outputs),
        ]
    )
    yield "<h2>How was this counted?</h2>"
    yield (
        "<p>Operations (FLOP) are those of matrix products, two per multiply-add. Those of attention grow "
        "with the length. Of a model that selects tokens, one of each sequence is selected. Bytes are those "
        "of all constants, as they are stored.</p>"
    )
    if found.measured is not None:
        run = found.measured
        yield (
            f"<p>Times are of {run.threads} threads with {escape(run.isa)}, those of all threads over their "
            f"number; for {100 * run.idle:.1f} % of the run they waited for each other or copied outputs.</p>"
        )
    for note in found.notes:
        yield f'<p class="note">{escape(note)}</p>'
    yield f'<p class="soft">Written by bertc {escape(__version__)} of {escape(found.source)}.</p>'


def _wide(markup: str) -> str:
    """Return markup that a narrow screen moves to the side, by keys too."""
    return f'<div class="scroll" tabindex="0">{markup}</div>'


def _spell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
