"""The markup that pages are made of: one document without references, tables, figures. Texts are escaped."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape
from importlib import resources

from bertc.report.tables import Table


def document(title: str, sections: Iterable[Iterable[str]], more_style: str = "") -> str:
    """Return a whole page of sections, each made of parts, with the style sheet in it, and more styles."""
    style = resources.files("bertc.report").joinpath("style.css").read_text("utf-8")
    body = "\n".join(part for section in sections for part in section)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}{more_style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
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


def table(content: Table, numbers: Collection[int] | None = None, class_: str = "") -> str:
    """Return a table whose first column holds names and the others numbers; or these columns do."""
    if not content.rows:
        return ""

    def row(tag: str, cells: Sequence[str]) -> str:
        numeric = [index > 0 if numbers is None else index in numbers for index in range(len(cells))]
        kinds = [' class="number"' if each else "" for each in numeric]
        spelled = (f"<{tag}{kind}>{escape(cell)}</{tag}>" for kind, cell in zip(kinds, cells, strict=True))
        return f"<tr>{''.join(spelled)}</tr>"

    kind = f' class="{escape(class_)}"' if class_ else ""
    rows = (row("th", content.columns), *(row("td", cells) for cells in content.rows))
    return f"<table{kind}>{''.join(rows)}</table>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table without a heading."""
    rows = (f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in pairs)
    return f'<table class="facts">{"".join(rows)}</table>'
