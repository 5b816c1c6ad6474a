"""A model whose outputs are there already: its tokenizer and its task do as always, but nothing is computed.

So outputs of each sequence, from ``bertc run --data-list`` or from another tool, give the scores that the
model would have. What ``bertc run`` wrote is found by the ids of samples; of other outputs the first number
that varies in the names of files is that of the sequence, from 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bertc.errors import InputError
from bertc.evaluation.recorded import files_by_number, read_outputs
from bertc.files.result_folder import OUTPUTS, read_summary

Array = np.ndarray[Any, Any]


class Replay:
    """An engine for evaluators, with the methods of a loaded model, whose session reads files."""

    def __init__(self, engine: Any, folder: Path) -> None:
        """``engine`` is the encoder that has the tokenizer and the labels. Raises ``InputError``."""
        summary = read_summary(folder, OUTPUTS)
        self._folder = folder
        self._files = None if summary is None else _by_sample(folder, summary)
        self._session = _ReplaySession(folder, engine.info)
        if summary is None:
            self._session.files = files_by_number(folder)
        limit = engine.info.max_seq_length if summary is None else summary["max_seq_length"]
        tokenizer = engine.tokenizer
        if limit != engine.info.max_seq_length:
            tokenizer = tokenizer.with_limit(limit)
        info = dataclasses.replace(engine.info, max_seq_length=limit)
        self._engine = type(engine)(self._session, tokenizer, info)
        self.info = info
        """The facts about the model that reads the outputs."""

    def expect(self, ids: Sequence[str]) -> None:
        """Be asked about the samples with these ids, in this order.

        Raises ``InputError`` if outputs are of other samples.
        """
        if self._files is None:
            return
        for these, those, what in (
            (ids, self._files, "has no output of the sample"),
            (self._files, ids, "has outputs of a sample that the data lacks:"),
        ):
            known = set(those)
            if odd := [name for name in these if name not in known]:
                raise InputError(
                    f"{self._folder} {what} {odd[0]!r} ({len(odd):,} such): it was made of other data"
                )
        self._session.files = [file for name in ids for file in self._files[name]]

    def __getattr__(self, name: str) -> Any:
        """Return a method of the model that reads each output once."""
        if name.startswith("__") or name == "count_tokens":  # nothing was counted where outputs come from
            raise AttributeError(name)
        method = getattr(self._engine, name)

        def ask(*arguments: Any, **options: Any) -> Any:
            self._session.taken = 0
            answers = method(*arguments, **options)
            self._session.check_end()
            return answers

        return ask


def is_replayed(path: Path, engine: Any) -> bool:
    """Tell whether recorded outputs need the model's own task: of tokens, or with ids of samples."""
    of_tokens = any(port.rows == "tokens" and port.name == "logits" for port in engine.info.outputs)
    return path.is_dir() and (of_tokens or read_summary(path, OUTPUTS) is not None)


def _by_sample(folder: Path, summary: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Return the files of each sample, in the order of its parts."""
    found: dict[str, dict[int, Path]] = {}
    parts: dict[str, int] = {}
    for name, facts in summary["files"].items():
        of_sample = found.setdefault(facts["id"], {})
        if facts["part"] in of_sample:
            other = of_sample[facts["part"]].name
            raise InputError(f"{folder}: {other} and {name} are both of the sample {facts['id']!r}")
        of_sample[facts["part"]] = folder / name
        parts[facts["id"]] = facts["parts"]
    for name, files in found.items():
        if len(files) != parts[name]:
            raise InputError(
                f"{folder}: {len(files)} outputs of the sample {name!r}, which has {parts[name]} parts"
            )
    return {name: [files[part] for part in sorted(files)] for name, files in found.items()}


class _ReplaySession:
    """Stands in for a session: gives what is in files, a file for each sequence, in order."""

    num_threads = 1

    def __init__(self, folder: Path, info: Any) -> None:
        self.files: Sequence[Path] = ()
        self.taken = 0
        self._folder = folder
        self._info = info

    def run_batch(self, batch: Any, *, outputs: Sequence[str]) -> dict[str, Array]:
        """Return the output of the sequences of a batch, float32 [tokens or sequences, columns]."""
        (name,) = outputs
        port = self._info.output(name)
        lengths = np.diff(batch.cu_seqlens).tolist()
        files = self.files[self.taken : self.taken + len(lengths)]
        if len(files) < len(lengths):
            raise InputError(f"{self._folder} has {len(self.files):,} outputs, but the data has more inputs")
        self.taken += len(lengths)
        wanted = lengths if port.rows == "tokens" else [1] * len(lengths)
        rows = [_rows(*each, port) for each in zip(files, wanted, strict=True)]
        return {name: np.concatenate(rows)}

    def check_end(self) -> None:
        """Raise ``InputError`` if outputs are left."""
        if self.taken != len(self.files):
            raise InputError(
                f"{self._folder} has {len(self.files):,} outputs, but the data has {self.taken:,} inputs"
            )


def _rows(file: Path, count: int, port: Any) -> Array:
    """Return the first rows of an output, which may go on with those of padding."""
    values = read_outputs(file).astype(np.float32)
    if values.size % port.columns or values.size < count * port.columns:
        raise InputError(
            f"{file} has {values.size} numbers, expected {port.columns} for each of {count} {port.rows}, "
            "perhaps more for padding"
        )
    rows = values.reshape(-1, port.columns)
    if port.rows != "tokens" and len(rows) != count:
        raise InputError(f"{file} has {values.size} numbers, expected {port.columns}")
    return rows[:count]
