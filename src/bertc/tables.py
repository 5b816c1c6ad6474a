"""Models as functions of tables, for engines that divide rows among processes: Ray, Spark, Dask, Daft.

An object of a class here pickles by the place of its model, which is loaded where it is first used, with the
threads that the engine gives to the task. docs/scale.md shows each engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from bertc.bulk.columnar import pyarrow
from bertc.bulk.engines import assigned_threads
from bertc.bulk.results import Answering, Question, answering
from bertc.errors import InputError
from bertc.loading import lasting_place, load

Place = str | PathLike[str]


class TableModel:
    """A model that adds its answers to rows, as columns of Arrow."""

    def __init__(
        self,
        model: Place,
        question: Question,
        columns: Sequence[str],
        output: str | Sequence[str] | None,
        num_threads: int | None,
    ) -> None:
        """``model`` is what ``bertc.load`` takes, on every node, or what ``bertc.ray.ship`` returned.

        A relative path is one of the folder of this process. ``output`` are other names for the columns of
        answers. ``num_threads`` is by default what the engine gives to a task: the CPUs of Ray and Spark, one
        in Dask, and outside of an engine all that the process may use.
        """
        self._model = lasting_place(model) if isinstance(model, str | Path) else model
        self._question, self._columns = question, tuple(columns)
        self._output = (output,) if isinstance(output, str) else output
        self._num_threads = num_threads

    def __call__(self, rows: Any) -> Any:
        """Return the rows with the answers behind the other columns; a row without a text has a null.

        ``rows`` are an Arrow table or record batch, a data frame of pandas, or an iterator of record batches,
        which gives one, as Spark's ``mapInArrow`` wants it: with lists and bytes of any length, since Spark
        knows none of fixed size. Raises ``InputError`` for a column that is not there, or there already, and
        for texts that the model refuses.
        """
        arrow = pyarrow("answering rows of tables")
        if isinstance(rows, Iterator):
            return (self._with_answers(batch, any_size=True) for batch in rows)
        if isinstance(rows, (arrow.Table, arrow.RecordBatch)):
            return self._with_answers(rows)
        return self._with_columns_of_pandas(rows)

    @property
    def fields(self) -> list[Any]:
        """The Arrow fields of the answers, for which the model is loaded. Raises ``InputError``."""
        fields = self._answering.fields
        names = self._output or [each.name for each in fields]
        if len(names) != len(fields):
            raise InputError(
                f"output has {len(names)} names for the {len(fields)} columns "
                f"{', '.join(each.name for each in fields)}"
            )
        return [each.with_name(name) for each, name in zip(fields, names, strict=True)]

    def answer(self, *columns: Any) -> list[Any]:
        """Return the answers to Arrow arrays of texts (two for pairs), an array for each of ``fields``."""
        return self._answering.of_columns(columns)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_answering"}

    @cached_property
    def _answering(self) -> Answering:
        threads = self._num_threads or assigned_threads()
        return answering(load(fspath(self._model), num_threads=threads), self._question)

    def _with_answers(self, rows: Any, any_size: bool = False) -> Any:
        arrow = pyarrow("answering rows of tables")
        self._check_names(rows.schema.names)
        answers = self.answer(*(rows.column(name) for name in self._columns))
        fields = [_of_any_size(field) for field in self.fields] if any_size else self.fields
        answers = [each.cast(field.type) for each, field in zip(answers, fields, strict=True)]
        schema = arrow.schema([*rows.schema, *fields], rows.schema.metadata)
        return type(rows).from_arrays([*rows.columns, *answers], schema=schema)

    def _with_columns_of_pandas(self, frame: Any) -> Any:
        import pandas

        arrow = pyarrow("answering rows of data frames")
        self._check_names(list(frame.columns))
        texts = (arrow.array(frame[name], arrow.string(), from_pandas=True) for name in self._columns)
        answers = {
            field.name: pandas.Series(pandas.arrays.ArrowExtensionArray(column), index=frame.index)
            for field, column in zip(self.fields, self.answer(*texts), strict=True)
        }
        return frame.assign(**answers)

    def _check_names(self, names: Sequence[str]) -> None:
        for name in self._columns:
            if name not in names:
                raise InputError(f"the rows have no column {name!r}, they have {', '.join(map(str, names))}")
        for field in self.fields:
            if field.name in names:
                raise InputError(f"the rows have a column {field.name!r} already: name another as output")


def _of_any_size(field: Any) -> Any:
    """Return a field with lists or bytes of any length, if they are of fixed size."""
    arrow = pyarrow("answering rows of tables")
    if arrow.types.is_fixed_size_list(field.type):
        return field.with_type(arrow.list_(field.type.value_type))
    return field.with_type(arrow.binary()) if arrow.types.is_fixed_size_binary(field.type) else field


class Embed(TableModel):
    """Adds the vector of each text: a list of fixed size, or bytes of fixed size for integers and bits."""

    def __init__(
        self,
        model: Place,
        column: str = "text",
        output: str = "embedding",
        *,
        kind: str | None = None,
        precision: str = "float32",
        num_threads: int | None = None,
        **options: Any,
    ) -> None:
        """``kind`` is "query" or "document", for models that embed these in different ways.

        ``precision`` is one of ``Embedder.encode`` or float16; ``options`` are others of ``encode``.
        """
        method = "encode" if kind is None else f"encode_{kind}"
        super().__init__(model, Question(method, options, precision), (column,), output, num_threads)


class Classify(TableModel):
    """Adds ``label`` and ``score`` of each text or pair; ``labels``, a list of both, unless top_k is 1."""

    def __init__(
        self,
        model: Place,
        column: str = "text",
        output: str | Sequence[str] | None = None,
        *,
        pair_column: str | None = None,
        num_threads: int | None = None,
        top_k: int | None = 1,
        **options: Any,
    ) -> None:
        """``pair_column`` has the second texts of pairs; the options are those of ``Classifier.classify``."""
        columns = (column,) if pair_column is None else (column, pair_column)
        super().__init__(
            model, Question("classify", {"top_k": top_k, **options}), columns, output, num_threads
        )


class Tag(TableModel):
    """Adds the entities of each text: a list of their groups, scores, words and places."""

    def __init__(
        self,
        model: Place,
        column: str = "text",
        output: str = "entities",
        *,
        aggregation_strategy: str = "simple",
        num_threads: int | None = None,
    ) -> None:
        """``aggregation_strategy`` says how tokens are joined: none, simple, first, average or max."""
        question = Question("tag", {"aggregation_strategy": aggregation_strategy})
        super().__init__(model, question, (column,), output, num_threads)


class Rerank(TableModel):
    """Adds the score of each pair of a query and a text, by a model of one label."""

    def __init__(
        self,
        model: Place,
        column: str = "text",
        output: str = "score",
        *,
        query_column: str = "query",
        num_threads: int | None = None,
        **options: Any,
    ) -> None:
        """``options`` are those of ``Classifier.predict``, such as ``activation_fn``."""
        super().__init__(model, Question("predict", options), (query_column, column), output, num_threads)
