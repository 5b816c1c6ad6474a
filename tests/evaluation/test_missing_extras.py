from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import MissingExtraError
from bertc.files.texts import read_texts
from bertc.files.vectors import vector_writer


def write_parquet(path: Path) -> None:
    with vector_writer(path / "out.parquet", 2):
        pass


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("pyarrow", "parquet", lambda _: list(read_texts("unread.parquet"))),
        ("pyarrow", "parquet", write_parquet),
    ],
)
def test_a_missing_package_names_its_extra(
    package: str, extra: str, use: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [package, *(name for name in sys.modules if name.startswith(f"{package}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=rf"bertc\[{extra}\]"):
        use(tmp_path)
    assert not list(tmp_path.iterdir())
