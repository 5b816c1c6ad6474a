"""Files of outputs, as we and other tool-chains write them: numbers, perhaps with names and shapes."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertc.errors import InputError

Array = np.ndarray[Any, Any]

SUFFIXES = (".npy", ".npz", ".bin", ".txt")
DTYPES = ("float32", "float16", "float64", "int32", "int64", "int8", "uint8")
"""What a .bin file may hold: it does not say."""
SUMMARY = "summary.json"


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


def read_outputs(file: Path, bin_dtype: str) -> dict[str, Array]:
    """Return the arrays of a file by name, float64; one alone is called "".

    Raises ``InputError`` for a file that holds no numbers.
    """
    try:
        if file.suffix == ".bin":
            size, width = file.stat().st_size, np.dtype(bin_dtype).itemsize
            if size % width:
                raise InputError(f"{file}: {size} bytes are no whole number of {bin_dtype}")
            return {"": np.fromfile(file, bin_dtype).astype(np.float64)}
        if file.suffix == ".txt":
            return {"": _numbers(file)}
        with file.open("rb") as opened:  # NumPy leaves a file open that is no archive
            loaded = np.load(opened, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"": _as_numbers(loaded)}
            arrays = {name: _as_numbers(loaded[name]) for name in loaded}
        return {"": next(iter(arrays.values()))} if len(arrays) == 1 else arrays
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from None
    except (ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{file}: not a file of numbers ({error})") from None


def _as_numbers(array: Array) -> Array:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"it holds {array.dtype}")
    return np.asarray(array, np.float64)


def _numbers(file: Path) -> Array:
    """Return the numbers of a text, [lines, columns] where all lines have as many, else [numbers]."""
    lines = [line.replace(",", " ").split() for line in file.read_text("utf-8").splitlines()]
    rows = [[float(word) for word in words] for words in lines if words]
    alike = len({len(row) for row in rows}) == 1
    return np.array(rows if alike else [number for row in rows for number in row], np.float64)
