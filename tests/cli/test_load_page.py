"""The commands on the page about load have the options that they name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bertc.cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "load.md"
COMMANDS = re.findall(r"^bertc (?:load-test|compare) .*", PAGE.read_text("utf-8"), re.MULTILINE)


def options_of(command: Any) -> set[str]:
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_on_the_page_can_be_parsed(line: str) -> None:
    name, *words = line.split("#")[0].split()[1:]
    command: Any = get_command(app)
    known = options_of(command.commands[name])
    assert {word for word in words if word.startswith("-")} <= known
