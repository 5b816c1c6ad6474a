"""Rows and texts of a data set of the hub, streamed. A folder that holds one works as well."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

from bertc.errors import InputError, MissingExtraError
from bertc.files.texts import Record, Row, to_record

HUB = "hub:"
"""What a name of a data set of the hub begins with, where the path of a file may stand."""
_NAME = re.compile(rf"{HUB}(?P<name>[^#@]+)(#(?P<subset>[^@]+))?(@(?P<split>.+))?")
DEFAULT_SPLIT = "test"


def is_hub(path: str | PathLike[str]) -> bool:
    """Tell whether a path names a data set of the hub: ``hub:NAME``, perhaps ``#SUBSET`` and ``@SPLIT``."""
    return str(path).startswith(HUB)


def read_hub_table(path: str | PathLike[str]) -> Iterator[Row]:
    """Yield the rows of ``hub:NAME#SUBSET@SPLIT``, of the split ``test`` where none is named.

    Labels of words, which data sets store as numbers, are names. Raises ``InputError`` if it cannot be had.
    """
    found = _NAME.fullmatch(str(path))
    if found is None:
        raise InputError(f"{path}: expected {HUB}NAME, {HUB}NAME@SPLIT or {HUB}NAME#SUBSET@SPLIT")
    name, subset, split = found.group("name", "subset", "split")
    yield from _rows(name, subset, split or DEFAULT_SPLIT, str(path))


def read_hub(
    name: str,
    column: str = "text",
    *,
    pair_column: str | None = None,
    subset: str | None = None,
    split: str = "train",
) -> Iterator[Record]:
    """The texts of one split. Raises ``InputError`` if it cannot be had, or has no such column."""
    columns = (column,) if pair_column is None else (column, pair_column)
    for index, row in enumerate(_rows(name, subset, split, name)):
        yield to_record(row, columns, index)


def _rows(name: str, subset: str | None, split: str, where: str) -> Iterator[Row]:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "datasets", f"reading the data set {name}") from None
    try:
        rows = datasets.load_dataset(name, subset, split=split, streaming=True)
        names = _names_of_lists(getattr(rows, "features", None) or {})
        for index, cells in enumerate(rows):
            for column, labels in names.items():
                cells[column] = [labels[number] for number in cells[column]]
            yield Row(f"{where}, row {index}", cells)
    except Exception as error:  # of the network, of the hub, of the file formats: there is no common base
        raise InputError(f"cannot read the data set {name}, split {split}: {error}") from None


def _names_of_lists(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of the classes of each column that has lists of class numbers."""
    items: dict[str, Any] = {
        column: getattr(feature, "feature", None) for column, feature in features.items()
    }
    return {column: item.names for column, item in items.items() if hasattr(item, "names")}
