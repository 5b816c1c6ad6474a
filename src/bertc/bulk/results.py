"""What models answer, as columns of parquet files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bertc.bulk.columnar import pyarrow
from bertc.encoder import Encoder
from bertc.errors import InputError

FLOAT16 = "float16"
"""A precision of vectors in files alone: halves their size."""


@dataclass(frozen=True)
class Question:
    """What is asked of a model: a method by its name, with options; plain data, for other processes."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    """Of vectors."""


@dataclass(frozen=True)
class Answering:
    """A model that is asked, and the form of its answers."""

    ask: Callable[[list[Any]], Any]
    """Returns the answers to texts, or pairs of them."""
    fields: list[Any]
    """The Arrow fields of the answers."""
    columns: Callable[[Any], list[Any]]
    """Makes Arrow arrays of answers, one for each field."""

    def of_columns(self, texts: Sequence[Any]) -> list[Any]:
        """Return the answers to Arrow arrays of texts, two for pairs; a null where one of them has one."""
        rows = list(zip(*(column.to_pylist() for column in texts), strict=True))
        is_there = [None not in row for row in rows]
        items = [as_item(row) for row, there in zip(rows, is_there, strict=True) if there]
        return with_nulls(self.columns(self.ask(items)), is_there)


def answering(encoder: Encoder, question: Question) -> Answering:
    """Return how a model answers. Raises ``InputError`` for a model of another task, or a wrong option."""
    pyarrow("writing .parquet")
    kinds = {"classify": _labels, "tag": _entities, "predict": _scores}
    return kinds.get(question.method, _vectors)(encoder, question)


def as_item(texts: tuple[str | None, ...]) -> Any:
    """Return the texts of a row as models take them: one alone, or a pair."""
    return texts[0] if len(texts) == 1 else texts


def with_nulls(columns: Sequence[Any], is_there: Sequence[bool]) -> list[Any]:
    """Return columns with a null for each row that is not there."""
    if all(is_there):
        return list(columns)
    arrow = pyarrow("writing .parquet")
    there = np.asarray(is_there, bool)
    indices = arrow.array(np.cumsum(there) - 1, arrow.int64(), mask=~there)
    return [column.take(indices) for column in columns]


def _vectors(encoder: Encoder, question: Question) -> Answering:
    arrow = pyarrow("writing .parquet")
    if encoder.info.task != "embedding":
        raise InputError(
            f"{encoder.info.name} makes vectors for {encoder.info.task}, which have no column of one width: "
            "write them to a .jsonl file"
        )
    method = getattr(encoder, question.method)
    options = dict(question.options)
    half = question.precision == FLOAT16
    if not half:
        options["precision"] = question.precision
    empty = method([], **options)
    width, number = empty.shape[1], arrow.from_numpy_dtype(np.float16 if half else empty.dtype)
    floats = half or empty.dtype == np.float32
    kind = arrow.list_(number, width) if floats else arrow.binary(width)

    def columns(vectors: Any) -> list[Any]:
        if not floats:
            return [arrow.FixedSizeBinaryArray.from_buffers(
                kind, len(vectors), [None, arrow.py_buffer(np.ascontiguousarray(vectors))]
            )]  # fmt: skip
        flat = arrow.array(np.asarray(vectors, np.float16 if half else np.float32).reshape(-1), number)
        return [arrow.FixedSizeListArray.from_arrays(flat, type=kind)]

    return Answering(lambda items: method(items, **options), [arrow.field("embedding", kind)], columns)


def _labels(encoder: Encoder, question: Question) -> Answering:
    arrow = pyarrow("writing .parquet")
    method, single = encoder.classify, question.options.get("top_k", 1) == 1
    fields = [arrow.field("label", arrow.string()), arrow.field("score", arrow.float32())]

    def columns(answers: Any) -> list[Any]:
        if single:
            return [arrow.array([each[one.name] for each in answers], one.type) for one in fields]
        return [arrow.array(answers, listed.type)]

    listed = arrow.field("labels", arrow.list_(arrow.struct(fields)))
    return Answering(lambda items: method(items, **question.options), fields if single else [listed], columns)


def _scores(encoder: Encoder, question: Question) -> Answering:
    arrow = pyarrow("writing .parquet")
    method = encoder.predict  # fails here for a model of another task
    if len(encoder.info.labels) != 1:
        raise InputError(
            f"{encoder.info.name} has {len(encoder.info.labels)} labels, reranking is for models of one: use "
            "classify"
        )
    return Answering(
        lambda items: method(items, **question.options),
        [arrow.field("score", arrow.float32())],
        lambda scores: [arrow.array(np.asarray(scores, np.float32))],
    )


def _entities(encoder: Encoder, question: Question) -> Answering:
    arrow = pyarrow("writing .parquet")
    method = encoder.tag
    bare = question.options.get("aggregation_strategy") == "none"
    name = {"entity": arrow.string(), "index": arrow.int32()} if bare else {"entity_group": arrow.string()}
    entity = {**name, "score": arrow.float32(), "word": arrow.string(), "start": arrow.int32(),
              "end": arrow.int32()}  # fmt: skip
    kind = arrow.list_(arrow.struct(list(entity.items())))
    return Answering(
        lambda items: method(items, **question.options),
        [arrow.field("entities", kind)],
        lambda answers: [arrow.array(answers, kind)],
    )
