"""Every command, option, key and name on the page for those who come from other tool-chains exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import bertc
from bertc.cli.main import app
from bertc.recipe import Recipe
from bertc.recipe.hints import all_keys

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "coming-from.md").read_text("utf-8")
VENDORS = re.findall(r"^\| (.*) \| (.*) \|$", PAGE, re.MULTILINE)
SPANS = [span for _, ours in VENDORS for span in re.findall(r"`([^`]+)`", ours)]


def commands() -> Iterator[tuple[list[str], list[str]]]:
    """Yield the names of each command, with its options."""
    for span in SPANS:
        words = shlex.split(span)
        if words[0] == "bertc":
            names = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
            yield names, [word for word in words[1:] if word.startswith("-")]


def found(names: list[str]) -> tuple[list[str], Any]:
    """The command that names lead to, and the words that did; words after it are arguments."""
    command: Any = get_command(app)
    path: list[str] = []
    for name in names:
        if not hasattr(command, "commands"):
            break
        assert name in command.commands, f"bertc {' '.join(names)}"
        command, path = command.commands[name], [*path, name]
    return path, command


def options_of(command: Any) -> set[str]:
    """The options of a command, or of all in a group, which share them."""
    own = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return own.union(*(options_of(each) for each in getattr(command, "commands", {}).values()))


def test_every_command_has_help_and_the_options() -> None:
    seen: dict[tuple[str, ...], Any] = {}
    for names, options in commands():
        path, command = found(names)
        seen[tuple(path)] = command
        assert set(options) <= options_of(command), f"bertc {' '.join([*path, *options])}"
    assert len(seen) > 15
    for path in seen:
        outcome = CliRunner().invoke(app, [*path, "--help"])
        assert outcome.exit_code == 0, path


def test_every_name_of_python_exists() -> None:
    names = {name for span in SPANS for name in re.findall(r"\bbertc((?:\.\w+)+)", span)}
    assert len(names) >= 5
    for name in names - {".yaml"}:
        value: Any = bertc
        for part in name.split(".")[1:]:
            value = getattr(value, part)


def test_every_key_of_a_recipe_exists() -> None:
    keys = {".".join(path) for path in all_keys(Recipe)}
    sections = {path[0] for path in all_keys(Recipe) if len(path) > 1}
    named = {span for span in SPANS if re.fullmatch(r"\w+(\.\w+)+", span) and span.split(".")[0] in sections}
    assert len(named) > 10 and named <= keys


@pytest.mark.parametrize(
    "step",
    [
        "mblt_compile",
        "mxq_compile",
        "QuantizationConfig",
        "qbruntime.Model",
        "vamc compile",
        "sequence2npz",
        "vsx_ner",
        "vamp",
        "people_daily_eval",
        "preprocess",
        "pth2onnx",
        "onnxsim",
        "modify_onnx",
        "atc",
        "ais_bench",
        "postprocess",
    ],
)
def test_every_step_is_there(step: str) -> None:
    assert step in PAGE
