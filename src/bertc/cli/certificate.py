"""Prints a certificate as tables, for ``bertc show --certificate``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bertc.cli.console import print_facts, print_table

if TYPE_CHECKING:
    from bertc.artifact.certificate import Certificate, DataFacts


def print_certificate(certificate: Certificate) -> None:
    """Print all of a certificate but the histograms and the points that ``bertc report`` draws."""
    print_facts("fidelity to the fp32 model", _fidelity(certificate))
    print_facts("measured", _measured(certificate))
    _print_task(certificate)
    _print_budget(certificate)
    print_facts("methods", certificate.methods)
    _print_edges(certificate)
    columns = ("layer", "operation", "precision", "SQNR, dB")
    rows = [(layer.name, layer.op, layer.precision, layer.sqnr_db) for layer in certificate.layers]
    if rows:
        print_table("error of each layer, all before it included", columns, rows)
    if certificate.worst:
        samples = [(f"{sample.value:.5f}", f"{sample.tokens:,}", sample.text) for sample in certificate.worst]
        print_table("worst samples", (certificate.worst_by, "tokens", "text"), samples)
    for note in certificate.notes:
        print_facts("", {"note": note})


def _fidelity(certificate: Certificate) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, vectors in certificate.vectors.items():
        facts[name] = (
            f"cosine {vectors.mean_cosine:.6f} on average, {vectors.worst_cosine:.6f} at worst, "
            f"{vectors.rows:,} rows"
        )
    if certificate.logits is not None:
        logits = certificate.logits
        facts["logits"] = (
            f"{100 * logits.agreement:.3f} % the same ({logits.same_decisions:,} of {logits.rows:,})"
        )
        facts["divergence, nats"] = f"{logits.mean_kl:.3g} on average, {logits.worst_kl:.3g} at worst"
        facts["largest difference of a logit"] = f"{logits.largest_difference:.4g}"
    if certificate.values is not None:
        values = certificate.values
        facts["correlation"] = f"{values.correlation:.7f}, {values.rows:,} rows"
        facts["difference"] = (
            f"{values.mean_difference:.3g} on average, {values.largest_difference:.3g} at worst"
        )
    return facts


def _measured(certificate: Certificate) -> dict[str, Any]:
    facts = {
        "held-out data": _describe(certificate.data),
        "reference": f"{certificate.reference} ({certificate.reference_db:.0f} dB)",
        "machine": f"{certificate.processor}, {certificate.isa}",
    }
    if certificate.calibration is not None:
        facts["calibrated on"] = _describe(certificate.calibration)
    return facts


def _describe(data: DataFacts) -> str:
    seed = "" if data.seed is None else f", seed {data.seed}"
    cut = f", {data.truncated:,} truncated" if data.truncated else ""
    counts = f"{data.samples:,} samples, {data.tokens:,} tokens{cut}{seed}"
    return f"{data.name}: {counts}, SHA-256 {data.sha256[:16]}"


def _print_task(certificate: Certificate) -> None:
    task = certificate.task
    if task is None:
        return
    counts = ", ".join(f"{count:,} {name}" for name, count in task.counts.items())
    print_facts("task", {"evaluator": task.evaluator, "data": task.data, "scored": counts})
    rows = [(name, task.fp32.get(name, "?"), score) for name, score in task.compiled.items()]
    print_table("scores", ("metric", "fp32", "this file"), rows)


def _print_budget(certificate: Certificate) -> None:
    budget = certificate.budget
    if budget is None:
        return
    facts: Mapping[str, str] = {
        "metric": budget.metric,
        "at most": _percent(budget.max_drop),
        "lost": _percent(budget.drop),
        "lost without fallbacks": _percent(budget.drop_before),
        "held": "yes" if budget.met else "no",
        "variants tried": f"{budget.trials:,}",
    }
    print_facts("budget", facts)
    rows = [
        (fallback.name, fallback.instead_of, fallback.precision, _percent(fallback.slower))
        for fallback in budget.fallbacks
    ]
    if rows:
        print_table("fallbacks", ("node", "asked for", "computes in", "slower, estimated"), rows)


def _print_edges(certificate: Certificate) -> None:
    rows = [
        (
            edge.name,
            _spell_range(edge.low_before, edge.high_before),
            _spell_range(edge.low, edge.high),
            "-" if edge.migration is None else f"{edge.migration:g}",
            f"{edge.largest_shift:.3g}",
            _spell_range(edge.clip_low, edge.clip_high),
        )
        for edge in certificate.edges
    ]
    columns = ("input of 8-bit layers", "values", "quantized as", "migration", "largest shift", "clipped to")
    if rows:
        print_table("calibrated ranges", columns, rows)


def _spell_range(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.4g} to {high:.4g}"


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
