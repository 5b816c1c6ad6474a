"""The ranges of a compiled model's vectors over the calibration texts: what int8 vectors are scaled by.

sentence-transformers takes them from the batch that is embedded, so that a text's bits depend on its company.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from bertc.artifact.embedding_facts import EmbeddingFacts, Ranges
from bertc.artifact.schema import ModelInfo
from bertc.compiler.calibration_data import CalibrationData
from bertc.compiler.cpu_target import CpuTarget
from bertc.compiler.measure import answers
from bertc.ir.graph import Graph
from bertc.task_table import TASKS

Array = np.ndarray[Any, Any]


def with_ranges(info: ModelInfo, graph: Graph, data: CalibrationData, target: CpuTarget) -> ModelInfo:
    """Return the facts of a model with the ranges of its sentence embeddings, if it has such."""
    output = TASKS[info.task].output
    if output != "sentence_embedding":
        return info
    samples = data.samples if data.vectors is None else data.held_out
    vectors = answers(graph, samples.batches, target)[output]
    return dataclasses.replace(info, embedding=_with_ranges_of(info.embedding, vectors))


def _with_ranges_of(facts: EmbeddingFacts, vectors: Array) -> EmbeddingFacts:
    kept = vectors[:, : facts.truncate_dim]
    norms = np.linalg.norm(kept.astype(np.float64), axis=1, keepdims=True)
    normalized = kept / np.maximum(norms, 1e-12)
    return dataclasses.replace(facts, ranges=_ranges(vectors), normalized_ranges=_ranges(normalized))


def _ranges(vectors: Array) -> Ranges:
    return Ranges(*(tuple(map(_short, rows)) for rows in (vectors.min(axis=0), vectors.max(axis=0))))


def _short(value: float) -> float:
    return float(f"{value:.6g}")
