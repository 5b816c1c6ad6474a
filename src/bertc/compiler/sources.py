"""Opens the calibration data that a recipe names, and draws records of it by its seed."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from bertc import data
from bertc.errors import InputError
from bertc.files.arrays import Prepared, PreparedIds, PreparedVectors, is_prepared, read_arrays
from bertc.files.hub import HUB, read_hub
from bertc.files.sampling import reservoir
from bertc.files.texts import READERS, Record, data_suffix, read_texts
from bertc.home import expand_home
from bertc.recipe import Calibration

Source = Record | Prepared

SHIPPED = "the sample texts that bertc ships"
ADVANCE = 1024
"""The records per step of the progress bar, which takes longer for a step than reading for a record."""


def choose(calibration: Calibration, count: int, advance: Callable[[int], None]) -> tuple[list[Source], int]:
    """Return at most ``count`` records of one kind, all different, none empty, and how many there were.

    All of the data is read, and only the chosen ones are kept. ``advance`` is told how many were read.
    """
    read = 0

    def observe(records: Iterable[Source]) -> Iterator[Source]:
        nonlocal read
        for record in records:
            read += 1
            if read % ADVANCE == 0:
                advance(ADVANCE)
            if not _is_empty(record):
                yield record

    drawn = reservoir(observe(_open(calibration)), count, calibration.seed)
    advance(read % ADVANCE)
    chosen = list({_digest(record): record for record in drawn}.values())
    _check_kinds(chosen, calibration.format)
    return chosen, read


def split(chosen: list[Source], calibration: Calibration) -> tuple[list[Source], list[Source]]:
    """Return what calibrates and what is held out, in the ratio of the two where there is too little."""
    wanted = calibration.samples + calibration.held_out
    held_out = chosen[: max(1, len(chosen) * calibration.held_out // wanted)]
    return chosen[len(held_out) :] or held_out, held_out


def default_texts() -> tuple[str, ...]:
    """Return the shipped texts that calibrate by default, without those that are held out to measure on."""
    calibration = Calibration()
    chosen, _ = choose(calibration, calibration.samples + calibration.held_out, lambda _: None)
    fitted, _ = split(chosen, calibration)
    return tuple(each.text for each in fitted if isinstance(each, Record))


def _open(calibration: Calibration) -> Iterator[Source]:
    name, kind = calibration.data, calibration.format
    column, pair_column = calibration.column, calibration.pair_column
    if name is None:
        return itertools.starmap(Record, enumerate(data.sample_texts()))
    if kind == "hub" or name.startswith(HUB):
        return read_hub(
            name.removeprefix(HUB),
            column,
            pair_column=pair_column,
            subset=calibration.subset,
            split=calibration.split,
        )
    path = expand_home(name)
    if kind in ("ids", "embeddings") or (kind == "auto" and path.exists() and is_prepared(path)):
        return read_arrays(path)
    suffix = {"auto": None, "text": ".txt"}.get(kind, f".{kind}")
    files = _texts_in(path) if path.is_dir() else [path]
    return itertools.chain.from_iterable(
        read_texts(file, column, pair_column=pair_column, kind=suffix) for file in files
    )


def _texts_in(folder: Path) -> list[Path]:
    files = sorted(file for file in folder.rglob("*") if data_suffix(file) in READERS)
    if not files:
        raise InputError(f"{folder} holds no {', '.join(READERS)}, .npy or .npz file")
    return files


def _check_kinds(chosen: Sequence[Source], wanted: str) -> None:
    """Raise ``InputError`` if the data mixes ids and embeddings, or is not what the recipe says."""
    of_ids = [each for each in chosen if isinstance(each, PreparedIds)]
    of_vectors = [each for each in chosen if isinstance(each, PreparedVectors)]
    if of_ids and (of_vectors or wanted == "embeddings"):
        other = f"{of_vectors[0].where} holds" if of_vectors else "the recipe says"
        raise InputError(f"{of_ids[0].where} holds ids, {other} embeddings")
    if of_vectors and wanted == "ids":
        raise InputError(f"{of_vectors[0].where} holds embeddings, the recipe says ids")


def _is_empty(record: Source) -> bool:
    if isinstance(record, Record):
        return not (record.text.strip() or (record.pair or "").strip())
    return len(record.ids if isinstance(record, PreparedIds) else record.vectors) == 0


def _digest(record: Source) -> bytes:
    """Return a hash of the record's content, by which equal records are found."""
    if isinstance(record, Record):
        content = repr((record.text, record.pair)).encode("utf-8", "replace")
    elif isinstance(record, PreparedVectors):
        content = record.vectors.tobytes()
    else:
        content = record.ids.tobytes() + (b"" if record.type_ids is None else record.type_ids.tobytes())
    return hashlib.sha256(content).digest()
