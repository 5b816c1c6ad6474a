"""The page of a report: what is said about a compiled file, in the order in which a reader asks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from bertc.artifact.certificate import TEXT_CHARACTERS, Certificate
from bertc.artifact.json_form import to_json_value
from bertc.artifact.reader import Artifact
from bertc.report import charts, html, tables
from bertc.task_table import TASKS
from bertc.version import __version__

_YES_NO = {"True": "yes", "False": "no"}

_UNITS = {
    "cosine": "by the cosine of the two vectors, 1 for the same direction",
    "divergence": "by the divergence of the probabilities, in nats, 0 for the same ones; with a label for"
    " each token, that of the worst token",
    "difference": "by the difference of the two numbers",
}
"""What each value of ``Certificate.worst_by`` means, in words."""

_LOSSES = {
    "cosine": "1 - mean cosine of the answers",
    "divergence": "mean divergence of the answers, in nats",
    "difference": "1 - correlation of the answers",
}


def render(artifact: Artifact) -> str:
    """Return the whole page as HTML. Raises ``ArtifactError`` for a file whose certificate makes no sense."""
    certificate = artifact.certificate
    sections = (
        _summary(artifact, certificate),
        _notes(certificate),
        _agreement(certificate),
        _task(certificate),
        _worst(certificate),
        _layers(certificate),
        _budget(certificate),
        _ranges(certificate),
        _methods(certificate),
        _origin(artifact, certificate),
    )
    return html.document(f"{artifact.manifest.model.name}: certificate", sections)


def _summary(artifact: Artifact, certificate: Certificate) -> Iterator[str]:
    info, recipe = artifact.manifest.model, artifact.manifest.recipe
    dtype = str(recipe.get("dtype", "?"))
    does = TASKS[info.task].does if info.task in TASKS else f"does {info.task}"
    yield f"<h1>{escape(info.name)}</h1>"
    sizes = f"{info.size('num_hidden_layers')} layers of width {info.size('hidden_size')}"
    yield (
        f'<p class="lead">A {escape(info.architecture)} with {sizes} that {escape(does)}, compiled to '
        f"<b>{escape(dtype)}</b>. This page says how far its answers are from those of the original model in "
        "32-bit floating point (fp32), where the difference comes from, and how that was measured.</p>"
    )
    yield f"<p>{escape(_sentence(certificate.summary))}.</p>"
    yield html.cards([*_headline(certificate), (f"{artifact.size / 1e6:,.1f} MB", "size of the file")])


def _headline(certificate: Certificate) -> Iterator[tuple[str, str]]:
    vectors = certificate.vectors.get(certificate.output)
    if certificate.logits is not None:
        yield f"{100 * certificate.logits.agreement:.2f} %", "same answers as fp32"
        yield f"{certificate.logits.mean_kl:.2g}", "mean divergence, nats"
    elif certificate.values is not None:
        yield f"{certificate.values.correlation:.6f}", "correlation with fp32"
        yield f"{certificate.values.largest_difference:.3g}", "largest difference"
    elif vectors is not None:
        yield f"{vectors.mean_cosine:.5f}", "mean cosine to fp32"
        yield f"{vectors.worst_cosine:.5f}", "worst cosine to fp32"
    if certificate.task is not None:
        for name, score in list(certificate.task.compiled.items())[:1]:
            yield f"{score:.2f}", f"{name} (fp32: {certificate.task.fp32.get(name, 0.0):.2f})"
    yield f"{certificate.data.samples:,}", "held-out samples"


def _notes(certificate: Certificate) -> Iterator[str]:
    for note in certificate.notes:
        yield f'<p class="note">{escape(_sentence(note))}.</p>'


def _agreement(certificate: Certificate) -> Iterator[str]:
    if certificate.agreement is None:
        return
    yield "<h2>Do the answers agree?</h2>"
    yield html.figure(
        charts.agreement_scatter(certificate.agreement),
        f"{_sentence(certificate.agreement.what)}, each by the fp32 model and by this file. Left: on the "
        "dashed line the two are equal. Right: the difference alone, enlarged.",
    )
    yield from map(html.table, tables.fidelity(certificate))


def _task(certificate: Certificate) -> Iterator[str]:
    task = certificate.task
    if task is None:
        return
    counts = ", ".join(f"{count:,} {name}" for name, count in task.counts.items())
    yield "<h2>Does it still do its job?</h2>"
    yield (
        f"<p>Scored by the same evaluator ({escape(task.evaluator)}) on all of <b>{escape(task.data)}</b>: "
        f"{escape(counts)}.</p>"
    )
    yield html.table(tables.scores(task))


def _worst(certificate: Certificate) -> Iterator[str]:
    if not certificate.worst:
        return
    yield "<h2>Which samples are worst?</h2>"
    yield (
        "<p>Those of the held-out samples whose answers are farthest from fp32: "
        f"{escape(_in_words(_UNITS, certificate))}. At most {TEXT_CHARACTERS} characters of each.</p>"
    )
    yield html.table(tables.worst(certificate), numbers=(0, 1))


def _layers(certificate: Certificate) -> Iterator[str]:
    if not certificate.layers:
        return
    used = sorted({layer.precision for layer in certificate.layers})
    keys = "".join(f'<span class="key {escape(name)}"></span>&#8288;{escape(name)}' for name in used)
    yield "<h2>Where does the difference come from?</h2>"
    yield html.figure(
        charts.layer_bars(certificate.layers),
        "Signal to quantization noise of each layer's result, the errors of all layers before it included: "
        "longer is better, 10 dB more is a tenth of the error's power. The color is what the layer computes "
        "in:",
        keys,
    )


def _budget(certificate: Certificate) -> Iterator[str]:
    budget = certificate.budget
    if budget is None:
        return
    verb = "holds" if budget.met else "does not hold"
    yield "<h2>What was given more bits?</h2>"
    most, drop, before = map(tables.percent, (budget.max_drop, budget.drop, budget.drop_before))
    yield (
        f"<p>The budget {verb}: {escape(budget.metric)} may drop by {most}, it drops by {drop}; without "
        f"fallbacks it would drop by {before}. Variants that were measured: {budget.trials:,}.</p>"
    )
    yield html.table(tables.fallbacks(budget))
    if budget.sensitivity:
        yield html.figure(
            charts.sensitivity_bars(budget.sensitivity),
            "What each node costs when it alone is as the recipe says and everything else is fp32: "
            f"{_in_words(_LOSSES, certificate)}. At most 30 nodes, the costliest first.",
        )


def _ranges(certificate: Certificate) -> Iterator[str]:
    if not certificate.edges:
        return
    yield "<h2>What ranges were quantized?</h2>"
    yield (
        "<p>The values that calibration saw at the input of each 8-bit layer, after their channels were "
        "scaled and shifted. Heights are logarithms of counts. Red: what a fixed range cuts off; without "
        "red, each token has a range of its own, found while the model runs, and nothing is cut.</p>"
    )
    yield '<div class="multiples">'
    yield "".join(map(charts.range_histogram, certificate.edges))
    yield "</div>"
    yield f"<details><summary>As a table</summary>{html.table(tables.ranges(certificate))}</details>"


def _methods(certificate: Certificate) -> Iterator[str]:
    if certificate.methods:
        yield "<h2>What was done?</h2>"
        yield html.facts(tables.flatten(certificate.methods, _spell))


def _origin(artifact: Artifact, certificate: Certificate) -> Iterator[str]:
    provenance = artifact.manifest.provenance
    facts = [
        *tables.measured(certificate).items(),
        ("hash of the weights", artifact.weights_sha256),
        *tables.flatten({key: value for key, value in provenance.items() if key != "source"}, _spell),
    ]
    yield "<h2>How was this measured?</h2>"
    yield html.facts(facts)
    for title, value in (
        ("The recipe", artifact.manifest.recipe),
        ("The source", provenance.get("source", {})),
    ):
        spelled = json.dumps(to_json_value(value), indent=2, ensure_ascii=False)
        yield f"<details><summary>{title}</summary><pre>{escape(spelled)}</pre></details>"
    yield f'<p class="soft">Written by bertc {escape(__version__)} from the certificate in the file.</p>'


def _in_words(words: Mapping[str, str], certificate: Certificate) -> str:
    return words.get(certificate.worst_by, certificate.worst_by)


def _spell(value: Any) -> str:
    return _YES_NO.get(str(value), str(value))


def _sentence(text: str) -> str:
    """Return the text with a capital letter in front."""
    return text[:1].upper() + text[1:]
