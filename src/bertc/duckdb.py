"""Models as functions of DuckDB's SQL (extra: ``duckdb``).

>>> bertc.duckdb.register(con, "minilm.bertc")                                      # doctest: +SKIP
>>> con.sql("create table vectors as select id, embed(text) as vector from rows")   # doctest: +SKIP
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from bertc.bulk.columnar import pyarrow
from bertc.bulk.results import Answering, Question, answering
from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.loading import load

_METHODS = {"embedding": "encode", "classification": "classify", "token_classification": "tag"}
_NAMES = {"encode": "embed", "predict": "rerank"}


def register(
    connection: Any, model: str | PathLike[str] | Encoder, name: str | None = None, **options: Any
) -> str:
    """Make a model a function of a DuckDB connection, and return the function's name.

    By the model's task it is ``embed(text)``, which gives ``FLOAT[dimensions]``; ``classify(text)``, a struct
    of label and score; ``tag(text)``, a list of entities; ``rerank(query, text)``, the score of a model with
    one label. ``name`` is another name for it. ``model`` is a compiled file, what else ``bertc.load`` takes,
    or what it returns; ``options`` are those of ``encode``, ``classify``, ``tag`` or ``predict``. A null
    gives a null. Raises ``InputError`` for a model of another task, and what ``bertc.load`` does.
    """
    arrow = pyarrow("a function of DuckDB")
    encoder = model if isinstance(model, Encoder) else load(model)
    if encoder.info.task not in _METHODS:
        raise InputError(
            f"{encoder.info.name} is a model for {encoder.info.task}: expected {', '.join(_METHODS)}"
        )
    method = _METHODS[encoder.info.task]
    if method == "classify" and len(encoder.info.labels) == 1:
        method = "predict"
    answers = answering(encoder, Question(method, options))

    def of_texts(texts: Any) -> Any:
        return _answer(answers, [texts])

    def of_pairs(queries: Any, texts: Any) -> Any:
        return _answer(answers, [queries, texts])

    function, width = (of_pairs, 2) if method == "predict" else (of_texts, 1)
    empty = arrow.table({"answer": _answer(answers, [arrow.array([], arrow.string())] * width)})
    name = name or _NAMES.get(method, method)
    connection.create_function(
        name,
        function,  # DuckDB counts its parameters
        ["VARCHAR"] * width,
        connection.from_arrow(empty).types[0],
        type="arrow",
        null_handling="special",
    )
    return name


def _answer(answers: Answering, columns: list[Any]) -> Any:
    """Return the answers to the rows of one Arrow array of texts, or of two, as one Arrow array."""
    found = answers.of_columns(columns)
    if len(found) == 1:
        return found[0]
    return pyarrow("a function of DuckDB").StructArray.from_arrays(found, fields=answers.fields)
