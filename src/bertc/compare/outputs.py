"""Compares two folders of outputs: of each file how far its numbers are from those of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bertc.compare.output_files import DTYPES, OutputFolder, natural, open_folder
from bertc.errors import InputError
from bertc.fidelity import NoiseMeter, cosine
from bertc.files.numbers import read_arrays

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Difference:
    """How far one array is from the other; figures are None where there is nothing to compare."""

    name: str
    """The id of the sample, and the name of the array where a file has several."""
    problem: str | None = None
    """Why the two cannot be compared."""
    shape: tuple[int, ...] = ()
    max: float | None = None
    """The largest difference of two numbers."""
    mean: float | None = None
    not_finite: int = 0
    """The places where one of the two has no finite number and the other not the same: all else leaves them
    out."""
    cosine: float | None = None
    sqnr_db: float | None = None
    """The signal-to-quantization-noise ratio, the first folder being the signal."""
    rows: int = 0
    """The rows along the last axis that have a largest number; 0 where there is nothing to choose from."""
    same_argmax: int = 0
    """Those of them that have it at the same place in both."""

    def exceeds(self, tolerance: float) -> bool:
        """Tell whether the two differ by more than a tolerance."""
        return self.problem is not None or self.not_finite > 0 or (self.max or 0.0) > tolerance


@dataclass(frozen=True)
class OutputComparison:
    """Two folders of outputs, file by file."""

    first: OutputFolder
    second: OutputFolder
    differences: Sequence[Difference]
    """In natural order of the names."""
    only_first: Sequence[str]
    only_second: Sequence[str]
    tolerance: float

    @property
    def first_that_differs(self) -> Difference | None:
        """The first in order that differs by more than the tolerance."""
        return next((each for each in self.differences if each.exceeds(self.tolerance)), None)

    @property
    def same(self) -> bool:
        """Whether both have the same samples, and none differs by more than the tolerance."""
        return self.first_that_differs is None and not self.only_first and not self.only_second

    def totals(self) -> dict[str, Any]:
        """Return what holds for all files together, as plain JSON."""
        compared = [each for each in self.differences if each.problem is None]
        first, rows = self.first_that_differs, sum(each.rows for each in compared)
        same = sum(each.same_argmax for each in compared)
        figures = {
            name: [value for each in compared if (value := getattr(each, name)) is not None]
            for name in ("max", "mean", "cosine", "sqnr_db")
        }
        return {
            "compared": len(self.differences),
            "differ": sum(each.exceeds(self.tolerance) for each in self.differences),
            "tolerance": self.tolerance,
            "first_that_differs": None if first is None else first.name,
            "only_first": len(self.only_first),
            "only_second": len(self.only_second),
            "max": max(figures["max"], default=None),
            "mean": float(np.mean(figures["mean"])) if figures["mean"] else None,
            "worst_cosine": min(figures["cosine"], default=None),
            "worst_sqnr_db": min(figures["sqnr_db"], default=None),
            "rows": rows,
            "same_argmax": same,
            "argmax_agreement": same / rows if rows else None,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        return {
            "first": str(self.first.path),
            "second": str(self.second.path),
            "partial": [str(each.path) for each in (self.first, self.second) if each.partial],
            **self.totals(),
            "missing_in_second": list(self.only_first),
            "missing_in_first": list(self.only_second),
            "files": [asdict(each) for each in self.differences],
        }


def compare_outputs(
    first: Path,
    second: Path,
    *,
    tolerance: float = 0.0,
    bin_dtype: str = DTYPES[0],
    columns: int | None = None,
) -> OutputComparison:
    """Compare two folders of outputs, or two files.

    ``bin_dtype`` is that of ``.bin`` files, and ``columns`` the length of a row in them. Raises
    ``InputError`` for a folder or file that cannot be read, and for folders without a common sample.
    """
    one, other = open_folder(first), open_folder(second)
    shared = natural(one.files.keys() & other.files.keys())
    if not shared:
        examples = " and ".join(repr(natural(each.files)[0]) for each in (one, other))
        raise InputError(
            f"{first} and {second} have no sample in common: they call them {examples}, for example"
        )
    differences = [
        each
        for name in shared
        for each in _differences(name, one.files[name], other.files[name], bin_dtype, columns)
    ]
    return OutputComparison(
        one,
        other,
        differences,
        only_first=natural(one.files.keys() - other.files.keys()),
        only_second=natural(other.files.keys() - one.files.keys()),
        tolerance=tolerance,
    )


def _differences(
    name: str, first: Path, second: Path, bin_dtype: str, columns: int | None
) -> Iterator[Difference]:
    ours, theirs = (read_arrays(file, bin_dtype) for file in (first, second))
    flat = [file.suffix == ".bin" for file in (first, second)]
    for array in [*ours, *(each for each in theirs if each not in ours)]:
        label = ":".join(part for part in (name, array) if part) or first.name
        if array not in ours or array not in theirs:
            missing = second if array in ours else first
            yield Difference(
                label, f"{missing} has no array {array!r}" if array else f"{missing} has several"
            )
            continue
        pair = _alike(ours[array], theirs[array], flat, columns)
        if pair is None:
            shapes = f"{list(ours[array].shape)} and {list(theirs[array].shape)}"
            yield Difference(label, f"shapes {shapes}")
        else:
            yield difference(label, *pair)


def _alike(
    first: Array, second: Array, flat: Sequence[bool], columns: int | None
) -> tuple[Array, Array] | None:
    """Return two arrays in one shape, None if they have none: a .bin file takes that of the other."""
    if first.size != second.size:
        return None
    if all(flat) and columns and first.size % columns == 0:
        return first.reshape(-1, columns), second.reshape(-1, columns)
    if flat[0]:
        first = first.reshape(second.shape)
    if flat[1]:
        second = second.reshape(first.shape)
    # [1, n] and [n] are the same answer, with and without an axis of samples.
    shapes = [tuple(size for size in array.shape if size != 1) for array in (first, second)]
    return (first, second.reshape(first.shape)) if shapes[0] == shapes[1] else None


def difference(name: str, first: Array, second: Array) -> Difference:
    """Return how far two float64 arrays of one shape are from each other; NaN equals NaN."""
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    finite = np.isfinite(first) & np.isfinite(second)
    distances = np.where(same[finite], 0.0, np.abs(first[finite] - second[finite]))
    measured: dict[str, Any] = {}
    if distances.size:
        meter = NoiseMeter()
        meter.add(first[finite], second[finite])
        both = first[finite][None], second[finite][None]
        measured = {
            "max": float(distances.max()),
            "mean": float(distances.mean()),
            "cosine": float(cosine(*both)[0]),
            "sqnr_db": meter.db,
        }
    rows = same_argmax = 0
    if first.ndim and first.shape[-1] > 1:
        places = first.argmax(axis=-1) == second.argmax(axis=-1)
        rows, same_argmax = int(np.size(places)), int(np.sum(places))
    return Difference(
        name,
        shape=first.shape,
        not_finite=int((~finite & ~same).sum()),
        rows=rows,
        same_argmax=same_argmax,
        **measured,
    )
