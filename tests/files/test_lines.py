from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from bertc.errors import InputError
from bertc.files.lines import read_lines


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\ntwo\u2028\x0bstill two\n\nfour".encode())
    assert list(read_lines(path)) == [(1, "one"), (2, "two\u2028\x0bstill two"), (3, ""), (4, "four")]


def test_an_empty_file_has_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    assert list(read_lines(path)) == []


def test_what_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"fine\n\xff\xfe")
    with pytest.raises(InputError, match=r"a.txt, line 2: not UTF-8"):
        list(read_lines(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*none.txt: No such file"):
        list(read_lines(tmp_path / "none.txt"))


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("é\n".encode())))
    assert list(read_lines("-")) == [(1, "é")]
    assert not sys.stdin.buffer.closed
