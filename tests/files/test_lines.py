from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import InputError
from bertc.files.lines import COMPRESSED, read_lines


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffone\r\ntwo\u2028\x0bstill two\n\nfour".encode())
    assert list(read_lines(path)) == [(1, "one"), (2, "two\u2028\x0bstill two"), (3, ""), (4, "four")]


@pytest.mark.parametrize("module", [gzip, bz2, lzma])
def test_compressed_files_are_read_by_their_ending(tmp_path: Path, module: Any) -> None:
    suffix = next(suffix for suffix, name in COMPRESSED.items() if name == module.__name__)
    path = tmp_path / f"a.txt{suffix}"
    data = module.compress("\ufeffone\r\né\n".encode())
    path.write_bytes(data)
    assert list(read_lines(path)) == [(1, "one"), (2, "é")]
    for damaged in (b"one\n", data[:-5], data[:25] + b"\0" * 9 + data[25:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=rf"cannot read .*a.txt\{suffix}: "):
            list(read_lines(path))
    path.write_bytes(module.compress(b"fine\n\xff"))
    with pytest.raises(InputError, match=rf"a.txt\{suffix}, line 2: not UTF-8"):
        list(read_lines(path))


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


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bertc.files.lines.LONGEST_LINE", 4)
    (tmp_path / "a.txt").write_text("abc\nabcd")
    assert list(read_lines(tmp_path / "a.txt")) == [(1, "abc"), (2, "abcd")]
    (tmp_path / "a.txt").write_text("abc\nabcde")
    with pytest.raises(InputError, match=r"a.txt, line 2: more than 4 bytes without a line feed"):
        list(read_lines(tmp_path / "a.txt"))
