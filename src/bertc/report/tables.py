"""The tables of a certificate, as a report and ``bertc show --certificate`` have them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bertc.artifact.certificate import BudgetOutcome, Certificate, DataFacts, TaskScores


class Table(NamedTuple):
    """A table of names and numbers in words; it may have no rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def fidelity(certificate: Certificate) -> Iterator[Table]:
    """Yield how close the answers are to those of the fp32 model: as vectors, decisions or numbers."""
    columns: Sequence[str] = ("output", "mean cosine", "worst cosine", "rows")
    rows: Sequence[Sequence[str]] = [
        (name, f"{vectors.mean_cosine:.6f}", f"{vectors.worst_cosine:.6f}", f"{vectors.rows:,}")
        for name, vectors in certificate.vectors.items()
    ]
    yield Table("vectors, compared with fp32", columns, rows)
    if (logits := certificate.logits) is not None:
        columns = ("answers", "the same", "mean divergence", "worst divergence", "largest difference")
        kl = f"{logits.mean_kl:.3g}", f"{logits.worst_kl:.3g}"
        row = f"{logits.rows:,}", f"{logits.same_decisions:,}", *kl, f"{logits.largest_difference:.3g}"
        yield Table("logits, compared with fp32; divergences in nats", columns, [row])
    if (values := certificate.values) is not None:
        columns = ("answers", "correlation", "mean difference", "largest difference")
        differences = f"{values.mean_difference:.3g}", f"{values.largest_difference:.3g}"
        rows = [(f"{values.rows:,}", f"{values.correlation:.7f}", *differences)]
        yield Table("numbers, compared with fp32", columns, rows)


def scores(task: TaskScores) -> Table:
    """Return the scores on labeled data of the fp32 model and of this file."""
    pairs = [(name, task.fp32.get(name, 0.0), score) for name, score in task.compiled.items()]
    rows = [(name, f"{fp32:.2f}", f"{score:.2f}", f"{score - fp32:+.2f}") for name, fp32, score in pairs]
    return Table("scores", ("metric, of 100", "fp32", "this file", "difference"), rows)


def worst(certificate: Certificate) -> Table:
    """Return the samples that this file answers worst."""
    rows = [(f"{sample.value:.5f}", f"{sample.tokens:,}", sample.text) for sample in certificate.worst]
    return Table("worst samples", (certificate.worst_by, "tokens", "text"), rows)


def fallbacks(budget: BudgetOutcome) -> Table:
    """Return the nodes that compute in more bits than the recipe says."""
    rows = [(each.name, each.instead_of, each.precision, percent(each.slower)) for each in budget.fallbacks]
    return Table("fallbacks", ("node", "asked for", "computes in", "slower, estimated"), rows)


def ranges(certificate: Certificate) -> Table:
    """Return the calibrated ranges of inputs of 8-bit layers."""
    gains = "gain, dB", "of the first token, dB", "of the last, dB"
    columns = ("values", "quantized as", "migration", "largest shift", *gains, "clipped to")
    rows = [
        (
            edge.name,
            _range(edge.low_before, edge.high_before),
            _range(edge.low, edge.high),
            "-" if edge.migration is None else f"{edge.migration:g}",
            f"{edge.largest_shift:.3g}",
            f"{edge.gain_db:.1f}",
            *("-" if gain is None else f"{gain:.1f}" for gain in (edge.first_gain_db, edge.last_gain_db)),
            _range(edge.clip_low, edge.clip_high),
        )
        for edge in certificate.edges
    ]
    return Table("calibrated ranges", ("input of 8-bit layers", *columns), rows)


def measured(certificate: Certificate) -> dict[str, str]:
    """Return on what, with what and where the figures were measured."""
    facts = {"held-out data": _describe(certificate.data)}
    if certificate.calibration is not None:
        facts["calibrated on"] = _describe(certificate.calibration)
    facts["compared with"] = f"{certificate.reference} ({certificate.reference_db:.0f} dB)"
    return {**facts, "machine": f"{certificate.processor}, instructions: {certificate.isa}"}


def flatten(
    facts: Mapping[str, Any], spell: Callable[[Any], str], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield names and values of facts, lists in one line; nested facts get dotted names."""
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from flatten(value, spell, f"{prefix}{key}.")
        else:
            items = value if isinstance(value, (list, tuple)) else [value]
            yield f"{prefix}{key}", ", ".join(map(spell, items))


def percent(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.3g} %"


def _describe(data: DataFacts) -> str:
    seed = "" if data.seed is None else f", chosen by seed {data.seed}"
    cut = f", {data.truncated:,} of them truncated" if data.truncated else ""
    return f"{data.name}: {data.samples:,} samples{cut}, {data.tokens:,} tokens{seed}; SHA-256 {data.sha256}"


def _range(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.4g} to {high:.4g}"
