from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from bertc.errors import InputError, MissingExtraError
from bertc.files.hub import read_hub
from bertc.files.texts import Record

ROWS = [{"sentence": "one", "label": 0}, {"sentence": "two", "label": 1}]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Stands in for the package, and writes down what it is asked for."""
    asked: list[tuple[Any, ...]] = []

    def load_dataset(name: str, subset: str | None, *, split: str, streaming: bool) -> Iterator[Any]:
        asked.append((name, subset, split, streaming))
        if split == "missing":
            raise ValueError("Bad split: missing")
        return iter(ROWS)

    package = ModuleType("datasets")
    package.load_dataset = load_dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", package)
    return asked


def test_texts_are_streamed_from_one_split(calls: list[tuple[Any, ...]]) -> None:
    records = read_hub("glue", "sentence", subset="sst2", split="validation")
    assert list(records) == [Record(0, "one"), Record(1, "two")]
    assert calls == [("glue", "sst2", "validation", True)]


@pytest.mark.usefixtures("calls")
def test_what_cannot_be_had_is_named() -> None:
    with pytest.raises(InputError, match="cannot read the data set glue, split missing: Bad split"):
        list(read_hub("glue", split="missing"))
    with pytest.raises(InputError, match="glue, row 0: no 'text', expected a string"):
        list(read_hub("glue"))


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r'pip install "bertc\[datasets\]"'):
        list(read_hub("glue"))
