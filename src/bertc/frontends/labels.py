"""The names of labels, as config.json spells them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bertc.errors import CheckpointError

_DEFAULT_COUNT = 2
"""The number of labels where config.json has neither id2label nor num_labels, as in ``transformers``."""


def read_labels(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the labels by their numbers, of id2label, or of label2id alone.

    Raises ``CheckpointError`` if they make no sense.
    """
    table, numbers, count = raw.get("id2label"), raw.get("label2id"), raw.get("num_labels")
    if table is None and isinstance(numbers, dict) and numbers:
        if count not in (None, len(numbers)):
            raise CheckpointError(f"config.json: num_labels is {count!r}, label2id has {len(numbers)} labels")
        table = {number: name for name, number in numbers.items()}
        if len(table) < len(numbers):
            raise CheckpointError("config.json: label2id gives two labels the same number")
    if table is None:
        count = _DEFAULT_COUNT if count is None else count
        if type(count) is not int or count < 1:
            raise CheckpointError(f"config.json: num_labels is {count!r}, expected a positive integer")
        return tuple(f"LABEL_{i}" for i in range(count))
    names = {str(number): name for number, name in table.items()} if isinstance(table, dict) else {}
    keys = [str(i) for i in range(len(names))]
    if not names or set(names) != set(keys):
        raise CheckpointError(
            'config.json: id2label must map "0", "1", ... to label names, without gaps; label2id the reverse'
        )
    return tuple(str(names[key]) for key in keys)
