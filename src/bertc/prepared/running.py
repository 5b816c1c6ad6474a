"""Runs prepared token ids or embeddings through a model, and writes a file of what it gives for each sample.

An output has the shape of its input: of each token of the input where the model gives rows for tokens, zero
where the mask is 0. Nothing of that padding is computed.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.files.arrays import Prepared, PreparedIds, PreparedVectors, read_arrays
from bertc.files.result_folder import INPUTS, OUTPUTS, ResultFolder, read_summary, result_folder
from bertc.ports import EMBEDDINGS, TOKENS, Port, takes_selection
from bertc.prepared.array_files import npy, npz
from bertc.prepared.provenance import about
from bertc.runtime.batching import PackedBatch
from bertc.task_table import TASKS

Array = np.ndarray[Any, Any]

BATCH_TOKENS = 16384
"""The tokens that run at a time: enough for all threads, and 50 MB of float32 where 768 numbers come out of
each. What runs together changes no result."""


def run_prepared(
    engine: Encoder,
    data: str | PathLike[str],
    folder: Path,
    form: str,
    *,
    command: str = "",
    advance: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Run all samples of a file, a list or a folder of arrays; return how many there were, and times.

    ``form`` is one of ``FORMS``, in which the task's output is written. Raises ``InputError``; what was
    written before is kept, and the summary says that it is partial.
    """
    port = _output(engine)
    known = _known(Path(data))
    facts = {
        "kind": OUTPUTS,
        **about(engine, command),
        "output": {"name": port.name, "rows": port.rows, "columns": port.columns, "format": form},
        "max_seq_length": engine.info.max_seq_length if known is None else known["max_seq_length"],
        "inputs": {"path": str(data)} | ({} if known is None else {"data": known["data"]}),
    }
    digest, start = hashlib.sha256(), time.perf_counter()
    in_model = 0.0
    batches = _batches(engine, data)
    first = next(batches, None)  # what is wrong with the data is told before there is a folder
    if first is None:
        raise InputError(f"{data}: no samples: there is no .npy, .npz or .bin file of ids")
    with result_folder(folder, facts) as target:
        for batch in itertools.chain((first,), batches):
            for each in batch:
                digest.update(_tokens(each).tobytes())
            in_model += _run(engine, port, batch, known, target, form)
            advance(len(batch))
        seconds = time.perf_counter() - start
        samples, tokens = len(target.files), sum(each["tokens"] for each in target.files.values())
        counts = {"samples": samples, "tokens": tokens}
        rates = {"samples_per_second": samples / seconds, "tokens_per_second": tokens / seconds}
        times = {"seconds": seconds, "seconds_in_model": in_model, **rates}
        target.facts["inputs"]["ids_sha256"] = digest.hexdigest()
        target.facts |= {"counts": counts, "times": times}
    return {**counts, **times}


def _output(engine: Encoder) -> Port:
    """The output that the task reads. Raises ``InputError`` for a model that takes more than ids."""
    if takes_selection(engine.session.inputs):
        raise InputError(f"{engine.info.name} is for {engine.info.task}, which is for texts alone")
    port = engine.info.output(TASKS[engine.info.task].output)
    assert port is not None, "the reader has checked that it is there"
    return port


def _known(data: Path) -> dict[str, Any] | None:
    """What ``bertc data prepare`` says of its samples, where the data is its folder or the list in it."""
    return read_summary(data if data.is_dir() else data.parent, INPUTS)


def _tokens(sample: Prepared) -> Array:
    """The ids [length] or vectors [length, hidden] of a sample."""
    return sample.vectors if isinstance(sample, PreparedVectors) else sample.ids


def _batches(engine: Encoder, data: str | PathLike[str]) -> Iterator[list[Prepared]]:
    """Yield samples to run together. Raises ``InputError`` after those that come before a wrong one."""
    batch: list[Prepared] = []
    tokens = 0
    failure: InputError | None = None
    try:
        for each in read_arrays(data):
            sample = _checked(engine, each)
            if batch and tokens + len(_tokens(sample)) > BATCH_TOKENS:
                yield batch
                batch, tokens = [], 0
            batch.append(sample)
            tokens += len(_tokens(sample))
    except InputError as error:
        failure = error
    if batch:
        yield batch
    if failure is not None:
        raise failure


def _checked(engine: Encoder, sample: Prepared) -> Prepared:
    if engine.session.takes_embeddings:
        _check_vectors(engine, sample)
    elif isinstance(sample, PreparedVectors):
        raise InputError(
            f"{sample.where} holds vectors of {sample.vectors.shape[1]} numbers, but {engine.info.name} "
            "takes token ids: give it these"
        )
    limit, rows = engine.info.max_seq_length, engine.info.facts.get("vocab_size")
    where = f"{sample.where}, sample {sample.name}"
    tokens = _tokens(sample)
    if not len(tokens):
        raise InputError(f"{where}: it has no token, or the mask keeps none: take it out")
    if len(tokens) > limit:
        raise InputError(
            f"{where}: {len(tokens)} tokens, but {engine.info.name} takes at most {limit}: cut it"
        )
    if isinstance(sample, PreparedIds) and isinstance(rows, int) and sample.ids.max() >= rows:
        raise InputError(
            f"{where}: the id {sample.ids.max()}, but the table of {engine.info.name} has {rows} rows: "
            "prepared for another model?"
        )
    return sample


def _check_vectors(engine: Encoder, sample: Prepared) -> None:
    (width,) = (port.columns for port in engine.session.inputs if port.name == EMBEDDINGS)
    if isinstance(sample, PreparedIds):
        raise InputError(
            f"{sample.where} holds token ids, but {engine.info.name} takes vectors of {width} numbers: make "
            "them with bertc data prepare --embeddings"
        )
    if sample.vectors.shape[1] != width:
        raise InputError(
            f"{sample.where} holds vectors of {sample.vectors.shape[1]} numbers, but {engine.info.name} "
            f"takes such of {width}"
        )


def _packed(batch: list[Prepared], cu_seqlens: Array) -> PackedBatch:
    """Return samples of one kind as one packed batch."""
    rows = np.concatenate([_tokens(each) for each in batch])
    if isinstance(batch[0], PreparedVectors):
        return PackedBatch({EMBEDDINGS: rows}, cu_seqlens)
    types = [
        np.zeros(len(each.ids), np.int32) if each.type_ids is None else each.type_ids
        for each in batch
        if isinstance(each, PreparedIds)
    ]
    return PackedBatch({"input_ids": rows, "token_type_ids": np.concatenate(types)}, cu_seqlens)


def _run(
    engine: Encoder,
    port: Port,
    batch: list[Prepared],
    known: Mapping[str, Any] | None,
    folder: ResultFolder,
    form: str,
) -> float:
    """Run a batch and write its outputs; return the seconds in the model."""
    lengths = [len(_tokens(each)) for each in batch]
    cu_seqlens = np.cumsum([0, *lengths], dtype=np.int32)
    packed = _packed(batch, cu_seqlens)
    begin = time.perf_counter()
    values = engine.session.run_batch(packed, outputs=(port.name,))[port.name]
    seconds = time.perf_counter() - begin
    rows = np.split(values, cu_seqlens[1:-1] if port.rows == TOKENS else len(batch))
    for each, row, length in zip(batch, rows, lengths, strict=True):
        if port.rows == TOKENS:
            spread = np.zeros((1, len(each.kept), port.columns), np.float32)
            spread[0, each.kept] = row
            row = spread
        name = f"{each.name}.{form}"
        if name in folder.files:
            other = folder.files[name]["input"]
            raise InputError(f"{each.where} and {other} are both called {each.name}: give each its own name")
        folder.write(name, FORMS[form](port.name, row))
        folder.files[name] = {**_identity(known, each), "input": each.where, "tokens": length}
    return seconds


def _identity(known: Mapping[str, Any] | None, sample: Prepared) -> dict[str, Any]:
    """The id of a sample: what it was prepared from, else the name of its file."""
    if known is None:
        return {"id": sample.name, "part": 0, "parts": 1}
    facts = known["files"].get(sample.name)
    if facts is None:
        raise InputError(
            f"{sample.where}: the summary.json beside it knows no {sample.name}: take one of the two out"
        )
    return {name: facts[name] for name in ("id", "part", "parts")}


def _txt(_: str, array: Array) -> bytes:
    """A line for each row, with all digits that float32 has."""
    rows = array.reshape(-1, array.shape[-1]).tolist()
    return "".join(" ".join(map("{:.9g}".format, row)) + "\n" for row in rows).encode()


FORMS: Mapping[str, Callable[[str, Array], bytes]] = {
    "npz": lambda name, array: npz({name: array}),
    "npy": lambda _, array: npy(array),
    "bin": lambda _, array: array.tobytes(),
    "txt": _txt,
}
"""Ending of a file -> its content, of an output's name and float32 [1, columns] or [1, length, columns]."""
