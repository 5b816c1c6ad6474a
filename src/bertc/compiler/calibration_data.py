"""The samples that a model is calibrated on, and others that it is measured on."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.compiler.samples import Sample, Samples, in_batches, tokenize
from bertc.compiler.sources import SHIPPED, Source, choose, split
from bertc.compiler.vectors import enter_at_embeddings
from bertc.errors import InputError
from bertc.files.arrays import PreparedIds, PreparedVectors
from bertc.files.texts import Record
from bertc.frontends.imported_model import ImportedModel
from bertc.ir.graph import Graph
from bertc.ir.reference import TABLES
from bertc.ports import takes_selection
from bertc.recipe import Calibration
from bertc.runtime.no_tokenizer import make_tokenizer
from bertc.runtime.progress import progress

Array = np.ndarray[Any, Any]

FEW = 8
"""Fewer samples than this are worth a warning: the vendors' own setting has ten."""


@dataclass(frozen=True, eq=False)
class CalibrationData:
    """The samples that were chosen from a recipe's data."""

    samples: Samples
    """The samples to calibrate on."""
    held_out: Samples
    """Other samples, to measure on; the same one, and named so, if there is only one."""
    read: int
    """The number of records that there were to choose from."""
    vectors: Array | None = None
    """Prepared vectors, float32 [tokens, hidden], if the data is such: ids of ``samples`` are row numbers."""

    def enter(self, graph: Graph) -> Graph:
        """Return the graph (fused or typed) that takes ``samples``: another one only for prepared vectors."""
        return graph if self.vectors is None else enter_at_embeddings(graph, self.vectors)


def read_calibration_data(
    calibration: Calibration, model: ImportedModel, *, show_progress: bool = False
) -> CalibrationData:
    """Choose samples by the recipe's seed from all of its data, and tokenize them.

    The data is streamed: memory holds the samples alone. With too little data for both parts, it is
    shared in their ratio. Prepared vectors are for calibration alone; what is measured is the whole
    model, on the shipped texts. Raises ``InputError`` for data that cannot be read or does not fit the
    model, ``MissingExtraError``; warns where there is very little.
    """
    name = calibration.data or SHIPPED
    wanted = calibration.samples + calibration.held_out
    with progress(None, f"reading {name}", enabled=show_progress) as advance:
        chosen, read = choose(calibration, wanted, advance)
    if not chosen:
        raise InputError(f"{name} holds no text: give other data, or none for {SHIPPED}")
    encode = _Encoder(calibration, model, name)
    if vectors := [each for each in chosen if isinstance(each, PreparedVectors)]:
        samples, rows = encode.vectors(vectors[: calibration.samples])
        texts = dataclasses.replace(calibration, data=None, format="auto", pair_column=None)
        measured = read_calibration_data(texts, model).held_out
        found = CalibrationData(samples, measured, read, rows)
    else:
        fitted, held_out = split(chosen, calibration)
        found = CalibrationData(encode(fitted), encode(held_out), read)
        if len(chosen) == 1:
            facts = dataclasses.replace(found.held_out.facts, name=f"{name}, which it was calibrated on")
            found = dataclasses.replace(found, held_out=dataclasses.replace(found.held_out, facts=facts))
    if takes_selection(model.graph.inputs):
        found = dataclasses.replace(
            found, samples=encode.masked(found.samples), held_out=encode.masked(found.held_out)
        )
    if found.samples.facts.samples < FEW:
        warnings.warn(
            f"few calibration samples ({found.samples.facts.samples}) in {name}: ranges that fit them may fit"
            " little else, give some hundred",
            stacklevel=2,
        )
    return found


def _table_rows(graph: Graph) -> dict[str, int]:
    """Return the number of rows of the table that each input of a graph is looked up in."""
    return {
        node[ids]: graph.constants[node[table]].source.shape[0]
        for node in graph.nodes
        for table, ids in TABLES.items()
        if node.op == "embed" and table in node.inputs
    }


class _Encoder:
    """Turns chosen records into samples as the model takes them."""

    def __init__(self, calibration: Calibration, model: ImportedModel, name: str) -> None:
        limit = model.info.max_seq_length
        self._length = min(calibration.max_length or limit, limit)
        self._rows = _table_rows(model.graph)
        self._tokenizer = make_tokenizer(model.tokenizer_json, self._length)
        self._mask_token = str(model.info.facts.get("mask_token", ""))
        self._has_tokenizer = bool(model.tokenizer_json)
        self._name = name
        self._seed = calibration.seed

    def __call__(self, records: Sequence[Source]) -> Samples:
        """Return the samples of texts, or of prepared ids."""
        if prepared := [each for each in records if isinstance(each, PreparedIds)]:
            samples = [self._of_ids(each) for each in prepared]
            arrays = [array for each in samples for array in (each.input_ids, each.token_type_ids)]
            return self._in_batches(samples, arrays, [len(each.ids) for each in prepared])
        texts = [each for each in records if isinstance(each, Record)]
        if not self._has_tokenizer:
            return self._random(texts)
        items = [each.text if each.pair is None else (each.text, each.pair) for each in texts]
        return tokenize(self._tokenizer, items, self._name, self._seed, self._rows.get("input_ids"))

    def vectors(self, records: Sequence[PreparedVectors]) -> tuple[Samples, Array]:
        """Return samples of prepared vectors, whose ids are row numbers, and the rows [tokens, hidden]."""
        arrays = [each.vectors[: self._length] for each in records]
        widths = sorted({array.shape[1] for array in arrays})
        if len(widths) > 1:
            raise InputError(f"the vectors in {self._name} differ in size: {', '.join(map(str, widths))}")
        samples, start = [], 0
        for each, array in zip(records, arrays, strict=True):
            rows = np.arange(start, start + len(array), dtype=np.int32)
            samples.append(Sample(each.where, rows, np.zeros_like(rows)))
            start += len(array)
        lengths = [len(each.vectors) for each in records]
        return self._in_batches(samples, arrays, lengths), np.concatenate(arrays)

    def masked(self, samples: Samples) -> Samples:
        """Return the samples with some tokens masked, which the model is to fill in."""
        if not self._has_tokenizer:
            return samples.with_masks(None)
        return samples.with_masks(self._tokenizer.token_id(self._mask_token))

    def _random(self, texts: Sequence[Record]) -> Samples:
        """Return random ids in the place of texts, about as many as each has words."""
        rng = np.random.default_rng(self._seed)
        samples = []
        for each in texts:
            length = min(self._length, len(each.text.split()) + 2)
            ids = rng.integers(0, self._rows["input_ids"], length).astype(np.int32)
            samples.append(Sample(f"{length} random ids", ids, np.zeros_like(ids)))
        digest = hashlib.sha256(b"".join(sample.input_ids.tobytes() for sample in samples)).hexdigest()
        return in_batches(samples, f"random ids ({self._name})", digest, truncated=0, seed=self._seed)

    def _of_ids(self, prepared: PreparedIds) -> Sample:
        ids = prepared.ids[: self._length]
        types = np.zeros_like(ids) if prepared.type_ids is None else prepared.type_ids[: self._length]
        for name, array in (("input_ids", ids), ("token_type_ids", types)):
            rows = self._rows.get(name)
            if rows is not None and array.max() >= rows:
                raise InputError(
                    f"{prepared.where}: {name} has {array.max()}, the model's table has {rows} rows: "
                    "prepared for another model?"
                )
        return Sample(prepared.where, ids, types)

    def _in_batches(
        self, samples: Sequence[Sample], arrays: Sequence[Array], lengths: Sequence[int]
    ) -> Samples:
        """Return samples in batches; ``arrays`` go into the hash, ``lengths`` are those before truncation."""
        digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
        truncated = sum(length > self._length for length in lengths)
        return in_batches(samples, self._name, digest, truncated=truncated, seed=self._seed)
