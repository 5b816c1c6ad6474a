"""Files of numbers, as we and other tool-chains write outputs: ``.npy``, ``.npz``, ``.bin``, ``.txt``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from bertc.errors import InputError

Array = np.ndarray[Any, Any]


def read_arrays(file: Path, bin_dtype: str = "float32") -> dict[str, Array]:
    """Return the arrays of a file by name, float64; one alone is called "".

    ``bin_dtype`` is what a ``.bin`` file holds. Raises ``InputError`` for a file that holds no numbers.
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
        raise InputError(f"{file}: not an array file of numbers ({error})") from None


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
