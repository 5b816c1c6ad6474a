"""Prepared samples: token ids, or the vectors that an embedding layer makes of them, as NumPy arrays.

The forms that other tool-chains write are read as they are:

* a ``.npy`` file of ids [length] or [samples, length], or of vectors [length, hidden] or [samples,
  length, hidden]; a ``.npz`` file of ``input_ids``, ``attention_mask`` and ``token_type_ids``, or of
  unnamed arrays (``input_0``, ...) in the order ids, then the other two in either order;
* a folder of such files; a text file that lists them, one path per line;
* a folder with a folder per input, which hold files of the same names, ``.npy`` or ``.bin`` (int64).

Ids may be stored as floating-point numbers. What the mask leaves out is dropped.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bertc.errors import InputError
from bertc.files.lines import read_lines

Array = np.ndarray[Any, Any]
Arrays = Mapping[str, Array]

SUFFIXES = (".npy", ".npz")
LISTS = (".txt", ".list", ".lst")
_IDS, _MASK, _TYPES, _VECTORS = "input_ids", "attention_mask", "token_type_ids", "embeddings"
_NAMES = {
    _IDS: _IDS,
    _MASK: _MASK,
    "input_mask": _MASK,
    _TYPES: _TYPES,
    "segment_ids": _TYPES,
    _VECTORS: _VECTORS,
    "inputs_embeds": _VECTORS,
}
"""What an array is called, by us and by others -> what it is. Other names count as unnamed."""


class PreparedIds(NamedTuple):
    """One sequence of token ids, and perhaps token types: int32 [length]."""

    where: str
    ids: Array
    type_ids: Array | None


class PreparedVectors(NamedTuple):
    """One sequence of vectors: float32 [length, hidden]."""

    where: str
    vectors: Array


Prepared = PreparedIds | PreparedVectors


def is_prepared(path: Path) -> bool:
    """Whether a path holds arrays rather than texts, by names: no array is opened."""
    if path.is_dir():
        return (path / _IDS).is_dir() or any(each.suffix in SUFFIXES for each in path.iterdir())
    if path.suffix in LISTS:
        return any(line.strip().endswith(SUFFIXES) for _, line in islice(read_lines(path), 1))
    return path.suffix in SUFFIXES


def read_arrays(path: str | PathLike[str]) -> Iterator[Prepared]:
    """The samples of a file, a list of files or a folder, one at a time, files in natural order.

    Raises ``InputError`` that names the file and what is wrong with it.
    """
    for file, arrays in _files(Path(path)):
        yield from _samples(str(file), arrays)


def _files(path: Path) -> Iterator[tuple[Path, Arrays]]:
    try:
        if (path / _IDS).is_dir():
            for file in _sorted(path / _IDS):
                present = [name for name in _NAMES if (path / name / file.name).is_file()]
                yield file, {name: _open(path / name / file.name)[""] for name in present}
            return
        if path.is_dir():
            files = [file for file in _sorted(path) if file.suffix in SUFFIXES]
        elif path.suffix in LISTS:
            files = [_listed(path, line.strip()) for _, line in read_lines(path) if line.strip()]
        else:
            files = [path]
        for file in files:
            yield file, _open(file)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}") from None


def _sorted(folder: Path) -> list[Path]:
    """Files in natural order: 2.npy before 10.npy."""
    return sorted(folder.iterdir(), key=lambda file: [(len(s), s) for s in re.split(r"(\d+)", file.name)])


def _listed(listing: Path, line: str) -> Path:
    """A path in a list: relative to the list, else to the working folder, as its writer may have meant."""
    beside = listing.parent / line
    return beside if beside.exists() else Path(line)


def _open(file: Path) -> Arrays:
    """The arrays of a file by name; the one of ``.npy`` and ``.bin`` has none."""
    try:
        if file.suffix == ".bin":
            return {"": np.fromfile(file, np.int64)}
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return dict(loaded)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: not an array file of numbers ({error})") from None


def _samples(where: str, arrays: Arrays) -> Iterator[Prepared]:
    named = {name: _batched(where, name, array) for name, array in _name(where, arrays).items()}
    shapes = {name: array.shape[:2] for name, array in named.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"{where}: arrays of different shapes: {shapes}")
    for row in range(len(next(iter(named.values())))):
        kept = named[_MASK][row].astype(bool) if _MASK in named else slice(None)
        if _VECTORS in named:
            yield PreparedVectors(where, _floats(where, named[_VECTORS][row][kept]))
        else:
            types = _integers(where, named[_TYPES][row][kept]) if _TYPES in named else None
            yield PreparedIds(where, _integers(where, named[_IDS][row][kept]), types)


def _name(where: str, arrays: Arrays) -> dict[str, Array]:
    """What each array is. Unnamed: vectors if it is no whole numbers, else ids, then mask and types.

    A mask starts with 1, token types start with 0; copies of the mask, which some compilers want,
    are passed over.
    """
    named = {_NAMES[name]: array for name, array in arrays.items() if name in _NAMES}
    unnamed = [array for name, array in arrays.items() if name not in _NAMES]
    if _IDS not in named and _VECTORS not in named:
        if not unnamed:
            raise InputError(f"{where}: no {_IDS}, it has {', '.join(arrays) or 'nothing'}")
        first, *unnamed = unnamed
        named[_IDS if _is_whole(first) else _VECTORS] = first
        for array in unnamed:
            if array.size:
                named.setdefault(_MASK if array.reshape(-1)[0] else _TYPES, array)
    return named


def _is_whole(array: Array) -> bool:
    """Whether it can be ids: whole numbers, perhaps stored as floating-point ones."""
    if array.dtype.kind in "iu" or array.ndim > 2:
        return array.dtype.kind in "iu"
    return array.dtype.kind == "f" and bool(np.all(array == np.rint(array)))


def _batched(where: str, name: str, array: Array) -> Array:
    """With a leading axis of samples: [samples, length], vectors [samples, length, hidden]."""
    ranks = (2, 3) if name == _VECTORS else (1, 2)
    if array.ndim not in ranks:
        shape = "[samples, length, hidden]" if name == _VECTORS else "[samples, length]"
        raise InputError(f"{where}: {name} have shape {array.shape}, expected {shape}, or one of them")
    return array if array.ndim == ranks[1] else array[None]


def _integers(where: str, array: Array) -> Array:
    values = np.rint(array)
    if not _is_whole(array) or (values.size and not 0 <= values.min() <= values.max() < 2**31):
        raise InputError(f"{where}: ids must be whole numbers from 0 that fit 32 bits")
    return values.astype(np.int32)


def _floats(where: str, array: Array) -> Array:
    vectors = np.asarray(array, np.float32)
    if not np.isfinite(vectors).all():
        raise InputError(f"{where}: the vectors hold numbers that are not finite")
    return vectors
