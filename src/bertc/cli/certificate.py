"""Prints a certificate as tables, for ``bertc show --certificate``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bertc.cli.console import print_facts, print_table
from bertc.report import tables

if TYPE_CHECKING:
    from bertc.artifact.certificate import Certificate


def print_certificate(certificate: Certificate) -> None:
    """Print all of a certificate but the histograms and the points that ``bertc report`` draws."""
    for table in tables.fidelity(certificate):
        _print(table)
    print_facts("measured", tables.measured(certificate))
    if (task := certificate.task) is not None:
        counts = ", ".join(f"{count:,} {name}" for name, count in task.counts.items())
        print_facts("task", {"evaluator": task.evaluator, "data": task.data, "scored": counts})
        _print(tables.scores(task))
    if (budget := certificate.budget) is not None:
        facts = {
            "metric": budget.metric,
            "at most": tables.percent(budget.max_drop),
            "lost": tables.percent(budget.drop),
            "lost without fallbacks": tables.percent(budget.drop_before),
            "held": "yes" if budget.met else "no",
            "variants tried": f"{budget.trials:,}",
        }
        print_facts("budget", facts)
        _print(tables.fallbacks(budget))
    print_facts("methods", certificate.methods)
    _print(tables.ranges(certificate))
    layers = [(layer.name, layer.op, layer.precision, f"{layer.sqnr_db:.2f}") for layer in certificate.layers]
    columns = ("layer", "operation", "precision", "SQNR, dB")
    _print(tables.Table("error of each layer, all before it included", columns, layers))
    _print(tables.worst(certificate))
    for note in certificate.notes:
        print_facts("", {"note": note})


def _print(table: tables.Table) -> None:
    if table.rows:
        print_table(*table)
