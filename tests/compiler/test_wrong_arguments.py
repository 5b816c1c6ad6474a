"""Arguments of ``bertc.compile`` that are of no use are refused before any work, with what is expected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bertc
from tests.conftest import MakeArtifact


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        *(
            (argument, value, rf"{argument} is .*: expected the path of")
            for argument in ("source", "output", "eval_data")
            for value in (5, b"x", [], "", "a\0b")
        ),
        ("output", None, "output is NoneType: expected the path of a file"),
        ("output", "a" * 5000, "cannot be a file .*: name another one"),
        ("recipe", 3, "the recipe is int: expected a file, a mapping or a preset's name"),
        ("recipe", [], "the recipe is list: expected"),
        ("dtype", 5, "dtype is 5, expected one of"),
        ("task", [], "task is .*, expected one of"),
        ("profile", [], "profile is .*, expected one of"),
        ("max_drop", [], "max_drop is .*, expected a number from 0 to 1"),
    ],
)
def test_an_argument_of_no_use_is_told(
    checkpoint: MakeArtifact, tmp_path: Path, argument: str, value: Any, message: str
) -> None:
    arguments = {"source": checkpoint(), "output": tmp_path / "x.bertc", argument: value}
    with pytest.raises(bertc.BertcError, match=message):
        bertc.compile(**arguments)
    assert not list(tmp_path.iterdir())
