"""The certificate: how close the compiled program is to the fp32 model on samples that nothing was fitted to.

Both run on the native core, the fp32 graph by the fp32 kernels; how far those are to be trusted is
measured too, on a few samples, against the graph as it was imported, in NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc import fidelity
from bertc.artifact.certificate import (
    TEXT_CHARACTERS,
    Agreement,
    Certificate,
    WorstSample,
)
from bertc.artifact.schema import ModelInfo
from bertc.compiler.cpu_target import CpuTarget
from bertc.compiler.measure import answers, compare_layers
from bertc.compiler.samples import Samples
from bertc.compiler.task_scores import TaskScorer
from bertc.compiler.yardsticks import (
    LOGITS,
    Yardstick,
    compare_logits,
    compare_values,
    compare_vectors,
    has_independent_labels,
    has_values,
    yardstick,
)
from bertc.errors import CheckpointError
from bertc.ir import interpreter
from bertc.ir.graph import Graph
from bertc.ports import SELECTED
from bertc.runtime.machine import processor_name
from bertc.task_table import TASKS

Array = np.ndarray[Any, Any]
Answers = Mapping[str, Array]

CHECKED_TOKENS = 100
"""The tokens, about, that NumPy runs, which takes milliseconds each for a model of BERT-base's size."""

WORST = 8
POINTS = 240
PAIRED = 400
"""The samples, at most, whose similarity to each other is looked at: 80,000 pairs."""

_REFERENCE = "the fp32 graph on the fp32 kernels, checked against NumPy on {tokens} tokens"


@dataclass(frozen=True, eq=False)
class Graphs:
    """The graphs of a model before and after quantization."""

    fused: Graph
    typed: Graph
    precisions: Mapping[str, str]
    """The precision of each node of the fused graph that has a choice, by name."""


@dataclass(frozen=True)
class ReferenceCheck:
    """States how far the fp32 kernels, which everything is compared with, are to be trusted."""

    tokens: int
    db: float
    """The signal-to-noise ratio of the model's answer against NumPy's, in decibels."""


def check_reference(
    imported: Graph, fused: Graph, samples: Samples, output: str, target: CpuTarget
) -> ReferenceCheck:
    """Compare the fused graph on the fp32 kernels with the imported one in NumPy, on some tokens.

    Raises ``CheckpointError`` if NumPy's answer is infinite or NaN: whatever is compiled of it means nothing.
    """
    batch = samples.batches[0]
    bounds = batch.inputs["cu_seqlens"]
    count = max(1, int(np.searchsorted(bounds, CHECKED_TOKENS, side="right")) - 1)
    tokens = int(bounds[count])
    inputs = {name: array[:tokens] for name, array in batch.inputs.items()}
    inputs["cu_seqlens"] = bounds[: count + 1]
    if SELECTED in inputs:
        selected = batch.inputs[SELECTED]
        inputs[SELECTED] = selected[selected < tokens]
    with np.errstate(over="ignore", invalid="ignore"):  # told below, as an error
        expected = interpreter.run(imported, inputs)[output]
    if not np.isfinite(expected).all():
        raise CheckpointError(
            "the fp32 model overflows on the first samples: download or save the checkpoint again"
        )
    meter = fidelity.NoiseMeter()
    meter.add(expected, target(fused, inputs)[output])
    return ReferenceCheck(tokens, round(meter.db, 2))


def certify(
    info: ModelInfo,
    graphs: Graphs,
    samples: Samples,
    reference: ReferenceCheck,
    target: CpuTarget,
    scorer: TaskScorer | None = None,
) -> Certificate:
    """Measure the typed graph against the fused one. Raises ``CheckpointError`` if either gives NaN."""
    expected = answers(graphs.fused, samples.batches, target)
    found = answers(graphs.typed, samples.batches, target)
    measure = yardstick(info)
    output = measure.output
    return Certificate(
        output=output,
        reference=_REFERENCE.format(tokens=reference.tokens),
        reference_db=reference.db,
        isa=target.isa,
        processor=processor_name(),
        data=samples.facts,
        vectors={name: compare_vectors(expected[name], found[name]) for name in expected if name != LOGITS},
        **_compare_logits(info, expected, found),
        task=None if scorer is None else scorer.facts(scorer.score(target.session(graphs.typed))),
        layers=compare_layers(graphs.fused, graphs.typed, graphs.precisions, samples.few, target),
        worst_by=measure.unit,
        worst=_worst(samples, measure, TASKS[info.task].rows, expected[output], found[output]),
        agreement=_agreement(expected[output], found[output], output),
    )


def _compare_logits(info: ModelInfo, expected: Answers, found: Answers) -> dict[str, Any]:
    """Return how close the logits are to those of the fp32 model, as fields of the certificate."""
    if LOGITS not in expected:
        return {}
    if has_values(info):
        return {"values": compare_values(expected[LOGITS], found[LOGITS])}
    independent = has_independent_labels(info)
    return {"logits": compare_logits(expected[LOGITS], found[LOGITS], independent=independent)}


def _worst(
    samples: Samples, measure: Yardstick, rows: str, expected: Array, found: Array
) -> tuple[WorstSample, ...]:
    """Return the worst samples; with several ``rows`` for each, a sample is as bad as its worst row."""
    lengths, texts = samples.lengths, samples.texts
    worst_of = np.maximum if measure.descending else np.minimum
    counts = samples.rows(rows)
    values = worst_of.reduceat(measure.rows(expected, found), np.cumsum(counts) - counts)
    order = np.argsort(-values if measure.descending else values, kind="stable")
    return tuple(
        WorstSample(text=shorten(texts[i]), tokens=int(lengths[i]), value=float(values[i]))
        for i in order[:WORST]
    )


def shorten(text: str) -> str:
    """Return the text as one line of at most ``TEXT_CHARACTERS`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= TEXT_CHARACTERS else line[: TEXT_CHARACTERS - 1] + "…"


def _agreement(expected: Array, found: Array, output: str) -> Agreement:
    """Return numbers that users see, by both graphs: of many, those evenly spread over the fp32 ones."""
    if output == LOGITS:
        what, before, after = "logits", expected.reshape(-1), found.reshape(-1)
    else:
        what = "cosine similarities of two samples"
        before, after = _similarities(expected), _similarities(found)
    order = np.argsort(before, kind="stable")
    chosen = order[np.unique(np.linspace(0, len(order) - 1, POINTS).astype(int))] if len(order) else order
    return Agreement(what=what, expected=_round(before[chosen]), found=_round(after[chosen]))


def _similarities(vectors: Array) -> Array:
    vectors = vectors[:PAIRED]
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.asarray((unit @ unit.T)[np.triu_indices(len(unit), 1)])


def _round(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.4g}") for value in values)
