"""Texts of a data set of the hub, streamed. A folder that holds one works as well."""

from __future__ import annotations

from collections.abc import Iterator

from bertc.errors import InputError, MissingExtraError
from bertc.files.texts import Record, Row, to_record


def read_hub(
    name: str,
    column: str = "text",
    *,
    pair_column: str | None = None,
    subset: str | None = None,
    split: str = "train",
) -> Iterator[Record]:
    """The texts of one split. Raises ``InputError`` if it cannot be had, or has no such column."""
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "datasets", f"reading the data set {name}") from None
    columns = (column,) if pair_column is None else (column, pair_column)
    try:
        rows = datasets.load_dataset(name, subset, split=split, streaming=True)
        for index, cells in enumerate(rows):
            yield to_record(Row(f"{name}, row {index}", cells), columns, index)
    except InputError:
        raise
    except Exception as error:  # of the network, of the hub, of the file formats: there is no common base
        raise InputError(f"cannot read the data set {name}, split {split}: {error}") from None
