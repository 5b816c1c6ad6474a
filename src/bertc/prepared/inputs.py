"""Writes sequences of token ids as the files that other tool-chains read.

* ``npy``, ``bin``: a folder per input, ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``,
  with a file per sequence: int64, [1, length] in ``.npy``, without a header in ``.bin``.
* ``npy`` with embeddings: a file per sequence in the folder itself, float32 [1, length, hidden].
* ``npz``: a file per sequence of ``input_0`` ids, ``input_1`` mask, ``input_2`` token types, int32
  [1, length]; ``input_3`` to ``input_5``, copies of the mask, where six arrays are wanted; and
  ``npz_datalist.txt``, which lists them.

``summary.json`` beside them has the id of the sample of each file.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.files.result_folder import INPUTS, ResultFolder, result_folder
from bertc.prepared.array_files import npy, npz
from bertc.prepared.capture import TokenSequence, default_kind, sequences
from bertc.prepared.provenance import about, file_hash

Array = np.ndarray[Any, Any]

LIST = "npz_datalist.txt"
Embed = Callable[[Array, Array], Array]
"""Makes vectors, float32 [length, hidden], of ids and token types [length]."""
NAMES = ("input_ids", "attention_mask", "token_type_ids")


def prepare(
    engine: Encoder,
    data: str | PathLike[str],
    folder: Path,
    form: str,
    *,
    kind: str | None = None,
    lengths: Sequence[int] = (),
    arrays: int = 3,
    embed: Embed | None = None,
    command: str = "",
    advance: Callable[[int], None] = lambda _: None,
    **reading: Any,
) -> dict[str, int]:
    """Write the inputs that a model has for a file of data; return how many there are of what.

    ``lengths``: each sequence is padded to the least of these that holds it, and none is longer than the
    largest; without any, nothing is padded. ``embed`` makes vectors of ids, which are written instead, as
    ``npy`` alone and without padding. ``reading`` are options of
    :func:`bertc.prepared.capture.sequences`. Raises ``InputError``.
    """
    if embed is not None and (form != "npy" or lengths):
        raise InputError("embeddings are written as npy, and without padding: no mask would say what it is")
    kind = kind or default_kind(engine)
    limit = max(lengths, default=engine.info.max_seq_length)
    facts = {
        "kind": INPUTS,
        **about(engine, command),
        "data": {"path": str(data), "kind": kind, "sha256": file_hash(data)},
        "form": form,
        "lengths": list(lengths),
        "max_seq_length": limit,
    }
    found = sequences(engine, data, kind, limit=limit, **reading)
    first = next(found)  # what is wrong with the data is told before there is a folder
    with result_folder(folder, facts) as target:
        every = itertools.chain((first,), found)
        if embed is not None:
            counts = _write_embedded(target, embed, every, advance)
        else:
            counts = _write(target, form, arrays, _padding(engine), lengths, every, advance)
        target.facts["counts"] = counts
    return counts


def _write_embedded(
    folder: ResultFolder, embed: Embed, found: Iterable[TokenSequence], advance: Callable[[int], None]
) -> dict[str, int]:
    samples = tokens = 0
    for number, each in enumerate(found):
        folder.write(f"{number:06d}.npy", npy(embed(each.ids, each.type_ids)[None]))
        folder.files[f"{number:06d}"] = _facts(each)
        samples, tokens = samples + (each.part == 0), tokens + len(each.ids)
        advance(1)
    return {"samples": samples, "sequences": len(folder.files), "tokens": tokens}


def _facts(sequence: TokenSequence) -> dict[str, Any]:
    """What the summary says of a file."""
    return {"id": sequence.id, "part": sequence.part, "parts": sequence.parts, "tokens": len(sequence.ids)}


def _padding(engine: Encoder) -> int:
    """The id of a padding token as models know it that count positions from it; else 0, which is masked."""
    first = engine.info.facts.get("first_position", 0)
    return max(first - 1, 0) if isinstance(first, int) else 0


def _write(
    folder: ResultFolder,
    form: str,
    arrays: int,
    padding: int,
    lengths: Sequence[int],
    found: Iterable[TokenSequence],
    advance: Callable[[int], None],
) -> dict[str, int]:
    names: list[str] = []
    samples = tokens = 0
    for number, each in enumerate(found):
        name, size = f"{number:06d}", len(each.ids)
        length = min((length for length in lengths if length >= size), default=size)
        ids, mask, types = (
            np.pad(values, (0, length - size), constant_values=value)
            for values, value in ((each.ids, padding), (np.ones(size, np.int32), 0), (each.type_ids, 0))
        )
        if form == "npz":
            order = (ids, mask, types) if arrays == 3 else (ids, mask, types, mask, mask, mask)
            stored = {f"input_{index}": array[None] for index, array in enumerate(order)}
            folder.write(f"npz/{name}.npz", npz(stored))
            names.append(f"npz/{name}.npz\n")
        else:
            for input_name, array in zip(NAMES, (ids, mask, types), strict=True):
                wide = array.astype(np.int64)
                content = wide.tobytes() if form == "bin" else npy(wide[None])
                folder.write(f"{input_name}/{name}.{form}", content)
        folder.files[name] = _facts(each)
        samples, tokens = samples + (each.part == 0), tokens + size
        advance(1)
    if form == "npz":
        folder.write(LIST, "".join(names).encode())
    return {"samples": samples, "sequences": len(folder.files), "tokens": tokens}
