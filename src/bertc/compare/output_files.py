"""Folders of outputs, as we and other tool-chains write them: which file is of which sample."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bertc.errors import InputError
from bertc.files.result_folder import SUMMARY

SUFFIXES = (".npy", ".npz", ".bin", ".txt")
DTYPES = ("float32", "float16", "float64", "int32", "int64", "int8", "uint8")
"""What a .bin file may hold: it does not say."""


@dataclass(frozen=True)
class OutputFolder:
    """A folder of outputs, found by the ids of their samples."""

    path: Path
    files: Mapping[str, Path]
    """The file of each sample, by its id, or its name without the ending where no summary tells ids."""
    partial: bool = False
    """Whether the summary says that its writer did not finish."""


def open_folder(path: Path) -> OutputFolder:
    """Find the outputs below a folder; of a single file, its own.

    ``summary.json`` tells the ids, else names do. Raises ``InputError`` for no outputs, for two files of one
    sample, and for a summary that names files that are not there.
    """
    if path.is_file():
        return OutputFolder(path, {"": path})
    try:
        summary = _summary(path)
        if summary is not None:
            named = [(_id(name, facts), path / name) for name, facts in summary["files"].items()]
        else:
            found = sorted(each for each in path.rglob("*") if each.suffix in SUFFIXES and each.is_file())
            named = [(each.relative_to(path).with_suffix("").as_posix(), each) for each in found]
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}") from None
    files: dict[str, Path] = {}
    for name, file in named:
        if name in files:
            raise InputError(f"{file} and {files[name].name} are both of the sample {name}")
        if not file.is_file():
            raise InputError(f"{path / SUMMARY} names {file.name}, which is not there")
        files[name] = file
    if not files:
        raise InputError(f"{path} has no outputs: no file ends in {', '.join(SUFFIXES)}")
    return OutputFolder(path, files, partial=summary is not None and summary.get("complete") is False)


def _summary(folder: Path) -> dict[str, Any] | None:
    """Return the summary that lists files by name; None if there is none, or that of another tool."""
    path = folder / SUMMARY
    if not path.exists():
        return None
    try:
        summary = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        return None
    return summary if isinstance(summary, dict) and isinstance(summary.get("files"), dict) else None


def _id(name: str, facts: Any) -> str:
    """Return the id of a file's sample, with the number of the part where a sample has several."""
    if not isinstance(facts, dict) or "id" not in facts:
        return Path(name).with_suffix("").as_posix()
    several = isinstance(facts.get("parts"), int) and facts["parts"] > 1
    return f"{facts['id']} part {facts.get('part')}" if several else str(facts["id"])


def natural(names: Iterable[str]) -> list[str]:
    """Return names in natural order: 2 before 10."""
    return sorted(names, key=lambda name: [(len(part), part) for part in re.split(r"(\d+)", name)])
