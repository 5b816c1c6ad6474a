"""``bertc show``: shows what a file holds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import AsJson, ModelFile, print_facts, print_result, print_rows, print_table

if TYPE_CHECKING:
    from bertc.artifact.certificate import Certificate
    from bertc.artifact.reader import Artifact
    from bertc.artifact.schema import Program
    from bertc.report.tables import Table


def command(
    file: ModelFile,
    verify: Annotated[bool, typer.Option("--verify", help="Check the SHA-256 of the weights.")] = False,
    certificate: Annotated[
        bool,
        typer.Option(
            "--certificate", help="Show the certificate: how close to the fp32 model, and where not."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what a .bertc file holds: model, sizes, recipe, certificate, hashes, versions."""
    from bertc.artifact.reader import open_artifact

    artifact = open_artifact(file, verify=verify)
    if not certificate:
        return print_result(_facts(artifact, verify), as_json, _print)
    found = artifact.certificate
    return print_result(found.to_json_value(), as_json, lambda _: _print_certificate(found))


def _print(facts: dict[str, Any]) -> None:
    """Print facts for people: what was not checked is not called wrong, and outputs are spelled out."""
    verified = facts["file"].pop("weights_verified")
    facts["file"]["weights"] = "verified" if verified else "not checked: --verify checks them"
    ports = {key: facts[part].pop(key) for key, part in (("inputs", "program"), ("outputs", "model"))}
    facts["model"] |= {key: {port["name"]: _spell(port) for port in each} for key, each in ports.items()}
    facts["host"] = {
        step: f"{', '.join(each['nodes'])} ({each['reason']})" for step, each in facts["host"].items()
    }
    tensors = facts.pop("tensors")
    for title, part in facts.items():
        print_facts(title, part)
    print_rows("tensors", {key: key for key in ("dtype", "tensors", "bytes")}, tensors)


def _spell(port: dict[str, Any]) -> str:
    """Return the type of a port: ``i32 [tokens]``, ``f32 [tokens, 384]``."""
    sizes = (port["rows"], port["columns"]) if port["columns"] else (port["rows"],)
    return f"{port['dtype']} [{', '.join(map(str, sizes))}]"


def _facts(artifact: Artifact, verified: bool) -> dict[str, Any]:
    from bertc.artifact.json_form import to_json_value
    from bertc.artifact.schema import FORMAT_VERSION
    from bertc.primitives.host_steps import find_host_steps

    manifest = artifact.manifest
    return {
        "file": {
            "path": str(artifact.path),
            "bytes": artifact.size,
            "format_version": FORMAT_VERSION,
            "header_sha256": artifact.header_sha256,
            "weights_sha256": artifact.weights_sha256,
            "weights_verified": verified,
        },
        "model": to_json_value(manifest.model),
        "recipe": to_json_value(manifest.recipe),
        "int8": _int8_layers(manifest.program),
        "certificate": {"summary": artifact.certificate.summary},
        "provenance": to_json_value(manifest.provenance),
        "program": {
            "steps": len(manifest.program.steps),
            "operations": dict(Counter(step.op for step in manifest.program.steps)),
            "inputs": to_json_value(manifest.program.inputs),
            "outputs": list(manifest.program.outputs),
            "activation_bytes_per_row": sum(manifest.program.slots),
        },
        "host": {
            step: {"nodes": [*region.sources], "reason": region.reason}
            for step, region in find_host_steps(manifest.program.steps).items()
        },
        "tensors": _tensors(artifact),
    }


def _int8_layers(program: Program) -> dict[str, Any]:
    """Return the bits of int8 layers' weights, the processors for them and their cost; empty without any."""
    from bertc.precision import integers

    steps = [step for step in program.steps if step.op == "linear_int8"]
    layers = Counter(step.attributes.get("weight_bits") for step in steps)
    if not layers:
        return {}
    if len(layers) > 1:
        counts = " and ".join(f"{count} of {bits} bits" for bits, count in sorted(layers.items()))
        return {"layers": counts}
    (bits,) = layers
    precision = integers(int(str(bits)))
    return {"weight_bits": bits, "use": precision.use, "cost": precision.cost}


def _tensors(artifact: Artifact) -> list[dict[str, Any]]:
    """Return the number of tensors of each dtype, and their size in bytes."""
    sizes: dict[str, list[int]] = {}
    for tensor in artifact.executable.tensors.values():
        sizes.setdefault(tensor.dtype, []).append(tensor.array.nbytes)
    return [
        {"dtype": dtype, "tensors": len(each), "bytes": sum(each)} for dtype, each in sorted(sizes.items())
    ]


def _print_certificate(certificate: Certificate) -> None:
    """Print all of a certificate but the histograms and the points that ``bertc report`` draws."""
    from bertc.report import tables

    for table in tables.fidelity(certificate):
        _print_table(table)
    print_facts("measured", tables.measured(certificate))
    if (task := certificate.task) is not None:
        counts = ", ".join(f"{count:,} {name}" for name, count in task.counts.items())
        print_facts("task", {"evaluator": task.evaluator, "data": task.data, "scored": counts})
        _print_table(tables.scores(task))
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
        _print_table(tables.fallbacks(budget))
    print_facts("methods", certificate.methods)
    _print_table(tables.ranges(certificate))
    layers = [(layer.name, layer.op, layer.precision, f"{layer.sqnr_db:.2f}") for layer in certificate.layers]
    columns = ("layer", "operation", "precision", "SQNR, dB")
    _print_table(tables.Table("error of each layer, all before it included", columns, layers))
    _print_table(tables.worst(certificate))
    for note in certificate.notes:
        print_facts("", {"note": note})


def _print_table(table: Table) -> None:
    if table.rows:
        print_table(*table)
