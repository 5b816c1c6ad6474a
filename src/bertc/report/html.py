"""The markup that pages are made of: one document without references, tables, figures. Texts are escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from bertc.report.tables import Table


def document(title: str, sections: Iterable[Iterable[str]]) -> str:
    """Return a whole page of sections, each made of parts, with the style sheet in it."""
    style = resources.files("bertc.report").joinpath("style.css").read_text("utf-8")
    body = "\n".join(part for section in sections for part in section)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def cards(facts: Iterable[tuple[str, str]]) -> str:
    """Return values with the names of what they are, as cards."""
    cells = (
        f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in facts
    )
    return f'<div class="cards">{"".join(cells)}</div>'


def figure(drawing: str, caption: str, markup: str = "") -> str:
    """Return a drawing with a caption; ``markup`` follows that."""
    return f"<figure>{drawing}<figcaption>{escape(caption)}{markup}</figcaption></figure>"


def table(content: Table, numbers: int | None = None) -> str:
    """Return a table whose first column holds names and the others numbers; or the first ``numbers`` do."""
    if not content.rows:
        return ""

    def row(tag: str, cells: Sequence[str]) -> str:
        numeric = [index > 0 if numbers is None else index < numbers for index in range(len(cells))]
        kinds = [' class="number"' if each else "" for each in numeric]
        spelled = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(spelled)}</tr>"

    return f"<table>{row('th', content.columns)}{''.join(row('td', cells) for cells in content.rows)}</table>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table without a heading."""
    rows = (f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in pairs)
    return f'<table class="facts">{"".join(rows)}</table>'
