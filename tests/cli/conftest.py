"""Runs the command line in this process."""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple

import pytest

from bertc.cli import main as module


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Run:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Outcome:
        self.monkeypatch.setattr(sys, "argv", ["bertc", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            module.main()
        code = stop.value.code
        return Outcome(code if isinstance(code, int) else 0, *self.capsys.readouterr())

    def json(self, *arguments: object) -> Any:
        outcome = self(*arguments, "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.err == ""
        return json.loads(outcome.out)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setattr("warnings.formatwarning", None)  # main sets it: put it back afterwards
    monkeypatch.setenv("TERM", "dumb")
    return Run(monkeypatch, capsys)
