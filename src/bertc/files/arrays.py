"""Prepared samples: token ids, or the vectors that an embedding layer makes of them, as NumPy arrays.

The forms that other tool-chains write are read as they are:

* a ``.npy`` file of ids [length] or [samples, length], or of vectors [length, hidden] or [samples,
  length, hidden]; a ``.npz`` file of ``input_ids``, ``attention_mask`` and ``token_type_ids``, or of
  unnamed arrays (``input_0``, ...) in the order ids, then the other two in either order;
* a folder of such files; a text file that lists them, one path per line;
* a folder with a folder per input, which hold files of the same names, ``.npy`` or ``.bin`` (int64).

Ids may be stored as floating-point numbers. What the mask leaves out is dropped; it has 0 and 1 alone.
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
    name: str
    """The name of the file without its ending, and the number of the row where there are several."""
    kept: Array
    """What the mask keeps of the sequence as it is stored, bool [length with padding]."""


class PreparedVectors(NamedTuple):
    """One sequence of vectors: float32 [length, hidden]."""

    where: str
    vectors: Array
    name: str
    kept: Array
    """Both as of :class:`PreparedIds`."""


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
        yield from _samples(file, arrays)


def _files(path: Path) -> Iterator[tuple[Path, Arrays]]:
    try:
        if (path / _IDS).is_dir():
            yield from _by_input(path)
            return
        if path.is_dir():
            files = _sorted(path, SUFFIXES)
        elif path.suffix in LISTS:
            files = _listed(path)
        else:
            files = [path]
        for file in files:
            yield file, _open(file)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror or error}") from None


def _by_input(folder: Path) -> Iterator[tuple[Path, Arrays]]:
    """The samples of a folder with a folder per input. Raises ``InputError`` where an input lacks a file."""
    inputs = {
        name: {file.name: file for file in _sorted(folder / name, (".npy", ".bin"))}
        for name in _NAMES
        if (folder / name).is_dir()
    }
    for name, files in inputs.items():
        if odd := sorted(files.keys() ^ inputs[_IDS].keys()):
            there, lacking = (_IDS, name) if odd[0] in inputs[_IDS] else (name, _IDS)
            raise InputError(
                f"{folder / lacking}: no file {odd[0]}, but {there} has one ({len(odd)} such): each input "
                "needs a file for each sample"
            )
    for file in inputs[_IDS]:
        yield inputs[_IDS][file], {name: _open(files[file])[""] for name, files in inputs.items()}


def _sorted(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Files in natural order: 2.npy before 10.npy."""
    files = [file for file in folder.iterdir() if file.suffix in suffixes]
    return sorted(files, key=lambda file: [(len(s), s) for s in re.split(r"(\d+)", file.name)])


def _listed(listing: Path) -> list[Path]:
    """The files that a list names: relative to it, else to the working folder, as its writer may have meant.

    Raises ``InputError`` for a missing one before any is read.
    """
    files: list[Path] = []
    for number, line in read_lines(listing):
        if name := line.strip():
            beside = listing.parent / name
            files.append(beside if beside.exists() else Path(name))
            if not files[-1].exists():
                raise InputError(
                    f"{listing}, line {number}: there is no file {name}, neither beside the list nor in the "
                    "working folder: correct the path, or take the line out"
                )
    return files


def _open(file: Path) -> Arrays:
    """The arrays of a file by name; the one of ``.npy`` and ``.bin`` has none."""
    try:
        if file.suffix == ".bin":
            return {"": np.frombuffer(file.read_bytes(), np.int64)}
        loaded = np.load(file, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            return dict(loaded)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        of_ids = " of int64" if file.suffix == ".bin" else ""
        raise InputError(f"{file}: not an array file of numbers{of_ids} ({error})") from None


def _samples(file: Path, arrays: Arrays) -> Iterator[Prepared]:
    where = str(file)
    named = {name: _batched(where, name, array) for name, array in _name(where, arrays).items()}
    shapes = {name: array.shape[:2] for name, array in named.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(f"{where}: arrays of different shapes: {shapes}")
    rows, length = next(iter(shapes.values()))
    for row in range(rows):
        place, name = (where, file.stem) if rows == 1 else (f"{where}, row {row}", f"{file.stem}_{row}")
        kept = _mask(place, named[_MASK][row]) if _MASK in named else np.ones(length, np.bool_)
        if _VECTORS in named:
            yield PreparedVectors(where, _floats(place, named[_VECTORS][row][kept]), name, kept)
        else:
            types = _integers(place, _TYPES, named[_TYPES][row][kept]) if _TYPES in named else None
            yield PreparedIds(where, _integers(place, "ids", named[_IDS][row][kept]), types, name, kept)


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
    if array.dtype.kind not in "biuf":
        raise InputError(f"{where}: {name} are {array.dtype}: expected numbers")
    ranks = (2, 3) if name == _VECTORS else (1, 2)
    if array.ndim not in ranks:
        shape = "[samples, length, hidden]" if name == _VECTORS else "[samples, length]"
        raise InputError(f"{where}: {name} have shape {array.shape}, expected {shape}, or one of them")
    return array if array.ndim == ranks[1] else array[None]


def _mask(where: str, array: Array) -> Array:
    if not np.isin(array, (0, 1)).all():
        raise InputError(f"{where}: the mask has numbers other than 0 and 1: write 1 for each token to keep")
    return array.astype(np.bool_)


def _integers(where: str, what: str, array: Array) -> Array:
    if not _is_whole(array):
        raise InputError(f"{where}: {what} are {array.dtype}: {what} must be whole numbers")
    values = np.rint(array)
    if values.size and not 0 <= values.min() <= values.max() < 2**31:
        raise InputError(f"{where}: {what} must be whole numbers from 0 that fit 32 bits")
    return values.astype(np.int32)


def _floats(where: str, array: Array) -> Array:
    vectors = np.asarray(array, np.float32)
    if not np.isfinite(vectors).all():
        raise InputError(f"{where}: the vectors hold numbers that are not finite")
    return vectors
