"""Outputs that another tool-chain wrote, as an engine that evaluators can ask: its tables, by our evaluator.

A folder has a file per sample: ``.npy``, ``.npz`` with one array, or ``.bin`` of float32. The first number
that varies in their names is that of the sample in the data, from 0 (of the sentence, where pairs are
embedded). Or one ``.npy`` or ``.npz`` file has a row for each.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.files.numbers import read_arrays
from bertc.files.result_folder import OUTPUTS, read_summary

Array = np.ndarray[Any, Any]

SUFFIXES = (".npy", ".npz", ".bin")


def is_recorded(path: Path) -> bool:
    """Tell whether a path has outputs rather than a model, by names."""
    if path.is_dir():
        found = (
            any(each.suffix in SUFFIXES for each in path.iterdir()) and not (path / "config.json").exists()
        )
        return found or read_summary(path, OUTPUTS) is not None
    return path.suffix in SUFFIXES


class RecordedVectors:
    """An embedder whose vectors are there already."""

    def __init__(self, path: Path) -> None:
        """Read all outputs. Raises ``InputError`` that names the file that is wrong."""
        self._path = path
        self._rows = _read(path)

    def encode(self, inputs: Sequence[Any]) -> Array:
        """Return the vectors of all texts. Raises ``InputError`` if there are not as many."""
        return self._of(inputs)

    def _of(self, inputs: Sequence[Any]) -> Array:
        if len(inputs) != len(self._rows):
            raise InputError(
                f"{self._path} has {len(self._rows)} outputs, but the data has {len(inputs)} inputs"
            )
        return self._rows


class RecordedLogits(RecordedVectors):
    """A classifier or cross-encoder whose logits are there already."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        """Read all outputs; ``labels`` name their columns. Raises ``InputError``."""
        super().__init__(path)
        self._labels = labels
        if self._rows.shape[1] != len(labels):
            raise InputError(
                f"{path} has {self._rows.shape[1]} numbers for each sample, the model has {len(labels)} "
                f"labels: {', '.join(labels)}"
            )

    def classify(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the label with the largest logit of each sample."""
        return [{"label": self._labels[number]} for number in self._of(inputs).argmax(axis=1).tolist()]

    def predict(self, inputs: Sequence[Any]) -> Array:
        """Return the logits, [samples] if there is one label, as evaluators use no more than their order."""
        rows = self._of(inputs)
        return rows[:, 0] if rows.shape[1] == 1 else rows


def _read(path: Path) -> Array:
    """Return the outputs, float64 [samples, columns]."""
    if not path.is_dir():
        rows = read_outputs(path)
        return rows.reshape(len(rows), -1) if rows.ndim else rows.reshape(1, 1)
    files = files_by_number(path)
    found = [read_outputs(file).reshape(-1) for file in files]
    odd = next((number for number, row in enumerate(found) if len(row) != len(found[0])), None)
    if odd is not None:
        raise InputError(f"{files[odd]} has {len(found[odd])} numbers, {files[0].name} has {len(found[0])}")
    return np.stack(found)


def files_by_number(folder: Path) -> list[Path]:
    """Return the files of a folder in the order of the samples. Raises ``InputError`` if one lacks."""
    files = _by_number(sorted(each for each in folder.iterdir() if each.suffix in SUFFIXES))
    missing = next((number for number in range(len(files)) if number not in files), None)
    if missing is not None:
        raise InputError(f"{folder}: no output of sample {missing}: the numbers in the names count from 0")
    return [files[number] for number in range(len(files))]


def _by_number(files: Sequence[Path]) -> dict[int, Path]:
    """Return the file of each sample."""
    numbers = [re.findall(r"\d+", file.stem) for file in files]
    if bare := [file for file, some in zip(files, numbers, strict=True) if not some]:
        raise InputError(f"{bare[0]}: no number in the name, which would say the sample")
    varying = (place for place, some in enumerate(zip(*numbers, strict=False)) if len(set(some)) > 1)
    place = next(varying, 0)
    found: dict[int, Path] = {}
    for file, some in zip(files, numbers, strict=True):
        number = int(some[place])
        if number in found:
            raise InputError(f"{file} and {found[number].name} are both of sample {number}")
        found[number] = file
    return found


def read_outputs(file: Path) -> Array:
    """Return the numbers of a file, float64. Raises ``InputError`` that names it."""
    arrays = read_arrays(file)
    if len(arrays) != 1:
        raise InputError(f"{file} has the arrays {', '.join(arrays) or 'none'}: expected one")
    (array,) = arrays.values()
    if not np.isfinite(array).all():
        raise InputError(f"{file}: it has numbers that are not finite")
    return array
