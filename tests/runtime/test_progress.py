from __future__ import annotations

import io
import sys

import pytest

from bertc.runtime import progress as module
from bertc.runtime.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_silent_unless_enabled(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3, "work", enabled=False) as advance:
        advance(3)
    assert capsys.readouterr() == ("", "")


def test_lines_in_a_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with progress(3, "work", enabled=True) as advance:
        advance(1)
        advance(2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[:2] == ["work: 1 of 3", "work: 3 of 3"]
    assert err.splitlines()[2].startswith("work: 3 of 3 in ")


def test_no_line_for_short_work(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(100, "work", enabled=True) as advance:
        for _ in range(100):
            advance(1)
    assert capsys.readouterr() == ("", "")


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress(2, "work", enabled=True) as advance:
        advance(2)
    assert "2/2" in terminal.getvalue()


def test_lines_on_a_terminal_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    with progress(2, "work", enabled=True) as advance:
        advance(2)
    assert terminal.getvalue().startswith("work: 2 of 2\nwork: 2 of 2 in ")
