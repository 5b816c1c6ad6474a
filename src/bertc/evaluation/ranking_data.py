"""Queries, the documents that are ranked for them, and which of these are relevant, from files.

* A table or ``.jsonl`` of the columns query, document and label (0, or how relevant it is), perhaps with
  query_id and document_id: each query has the documents of its rows.
* A folder of ``queries`` and ``corpus`` (``.jsonl`` with ``_id`` or ``id``, ``text`` and perhaps ``title``;
  or ``.tsv`` of id and text), and ``qrels`` (TREC's ``query 0 document relevance``, or BEIR's table of
  query-id, corpus-id and score, also ``qrels/test.tsv``): each query has all documents, or those that a run
  names (``run``, TREC's ``query Q0 document rank score name``).
* SQuAD's ``.json``: each question has all paragraphs of the file, and the one it was asked about is relevant.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from bertc.errors import InputError
from bertc.evaluation import question_answering
from bertc.files.lines import read_lines
from bertc.files.tables import cell, check_ids, read_table, text_cell
from bertc.files.texts import data_suffix

_COLUMNS = ("query", "document", "label")
_QRELS = ("query-id", "corpus-id", "score")


class Query(NamedTuple):
    """A query with what is ranked for it."""

    id: str
    text: str
    candidates: tuple[str, ...] | None
    """The ids of the documents that are ranked, None for all of the corpus."""
    gains: Mapping[str, float]
    """How relevant each relevant document is, by id."""
    corpus: Mapping[str, str]
    """Document id -> text, of all queries."""


@dataclass
class _Rows:
    """What the rows of a table say of one query."""

    text: str
    gains: dict[str, float] = field(default_factory=dict)


def read_rankings(path: str | PathLike[str], run: str | PathLike[str] | None = None) -> list[Query]:
    """Return the queries of a file or folder that have a relevant document, and the documents with them.

    ``run`` names the candidates of each query, where a folder is read. Raises ``InputError`` that names file,
    line and column of what is wrong.
    """
    folder = Path(path)
    if folder.is_dir():
        found = _read_folder(folder, None if run is None else Path(run))
    elif run is not None:
        raise InputError(f"{path} is a file, which has the documents of each query: a run is for a folder")
    elif data_suffix(path) == ".json":
        found = _read_questions(path)
    else:
        found = _read_rows(path)
    queries = [query for query in found if query.gains]
    if not queries:
        raise InputError(f"{path}: no query has a relevant document")
    return queries


def _read_rows(path: str | PathLike[str]) -> list[Query]:
    queries: dict[str, _Rows] = {}
    corpus: dict[str, str] = {}
    names: dict[str, str] = {}
    for row in read_table(path):
        query, document = (text_cell(row, column) for column in _COLUMNS[:2])
        name = str(row.cells.get("query_id") or query)
        place = str(row.cells.get("document_id") or names.setdefault(document, row.where.rpartition(", ")[2]))
        of_query = queries.setdefault(name, _Rows(query))
        if of_query.text != query or corpus.setdefault(place, document) != document:
            what = "query" if of_query.text != query else "document"
            raise InputError(
                f"{row.where}: another {what} has the id {name if what == 'query' else place!r} too"
            )
        if place in of_query.gains:
            raise InputError(f"{row.where}: the document {place!r} is there twice for the query {name!r}")
        of_query.gains[place] = _number(cell(row, "label"), f"{row.where}, column label")
    if not queries:
        raise InputError(f"{path}: no rows")
    return [
        Query(name, rows.text, tuple(rows.gains), _relevant(rows.gains), corpus)
        for name, rows in queries.items()
    ]


def _read_questions(path: str | PathLike[str]) -> list[Query]:
    """Return SQuAD's questions; one that its paragraph does not answer (2.0) has no relevant document."""
    questions = question_answering.read(path)
    contexts = list(dict.fromkeys(each.context for each in questions))
    names = {context: f"paragraph {number:06d}" for number, context in enumerate(contexts, 1)}
    corpus = {name: context for context, name in names.items()}
    return [
        Query(each.id, each.question, None, {names[each.context]: 1.0} if each.answers else {}, corpus)
        for each in questions
    ]


def _read_folder(folder: Path, run: Path | None) -> list[Query]:
    queries, corpus = (_texts(_one_of(folder, name)) for name in ("queries", "corpus"))
    gains: dict[str, dict[str, float]] = {}
    for where, query, document, value in _judgments(_one_of(folder, "qrels")):
        _check_known(where, query, queries, "query")
        _check_known(where, document, corpus, "document")
        gains.setdefault(query, {})[document] = value
    run = run or _one_of(folder, "run", needed=False)
    candidates = None if run is None else _candidates(run, corpus)
    if candidates is not None and (missing := [name for name in gains if name not in candidates]):
        raise InputError(
            f"{run}: no documents for the query {missing[0]!r} ({len(missing)} such), which has qrels"
        )
    return [
        Query(
            name,
            queries[name],
            None if candidates is None else tuple(candidates[name]),
            _relevant(found),
            corpus,
        )
        for name, found in gains.items()
    ]


def _one_of(folder: Path, name: str, *, needed: bool = True) -> Any:
    """Return the file of a name with any ending, or the only one in a folder of that name."""
    found = sorted(folder.glob(f"{name}.*"))
    if (folder / name).is_dir():
        found += [folder / name / "test.tsv"] if (folder / name / "test.tsv").exists() else []
    if len(found) > 1 or (needed and not found):
        what = "no" if not found else "more than one"
        raise InputError(
            f"{folder}: {what} file {name}.*: expected queries.*, corpus.*, qrels.*, perhaps run.*"
        )
    return found[0] if found else None


def _texts(path: Path) -> dict[str, str]:
    """Return texts by id."""
    found: list[tuple[str, str, str]] = []
    if path.suffix in (".tsv", ".txt"):
        for number, line in read_lines(path):
            name, tab, text = line.partition("\t")
            if line.strip():
                if not tab:
                    raise InputError(f"{path}, line {number}: no tab between an id and a text")
                found.append((name, text, f"{path}, line {number}"))
    else:
        for row in read_table(path):
            name = str(cell(row, "_id" if "_id" in row.cells else "id"))
            title = row.cells.get("title")
            found.append(
                (name, f"{title} {text_cell(row, 'text')}" if title else text_cell(row, "text"), row.where)
            )
    check_ids((name, where) for name, _, where in found)
    if not found:
        raise InputError(f"{path}: no texts")
    return {name: text for name, text, _ in found}


def _judgments(path: Path) -> Iterator[tuple[str, str, str, float]]:
    """Yield place, query, document and relevance."""
    for number, line in read_lines(path):
        cells, where = line.split(), f"{path}, line {number}"
        if not cells or (number == 1 and tuple(cells) == _QRELS):
            continue
        if len(cells) not in (3, 4):
            raise InputError(f"{where}: {len(cells)} columns, expected query, 0, document, relevance")
        yield where, cells[0], cells[-2], _number(cells[-1], f"{where}, column {len(cells)}")


def _candidates(path: Path, corpus: Mapping[str, str]) -> dict[str, dict[str, None]]:
    """Return the documents of each query, in order and each once."""
    found: dict[str, dict[str, None]] = {}
    for number, line in read_lines(path):
        cells, where = line.split(), f"{path}, line {number}"
        if cells:
            if len(cells) != 6:
                raise InputError(
                    f"{where}: {len(cells)} columns, expected query, Q0, document, rank, score, name"
                )
            _check_known(where, cells[2], corpus, "document")
            documents = found.setdefault(cells[0], {})
            if cells[2] in documents:
                raise InputError(
                    f"{where}: the document {cells[2]!r} is there twice for the query {cells[0]!r}"
                )
            documents[cells[2]] = None
    return found


def _check_known(where: str, name: str, known: Mapping[str, str], what: str) -> None:
    if name not in known:
        raise InputError(f"{where}: no {what} has the id {name!r}")


def _relevant(gains: Mapping[str, float]) -> dict[str, float]:
    return {name: gain for name, gain in gains.items() if gain > 0}


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: the relevance is {value!r}, expected a number")
    return number
