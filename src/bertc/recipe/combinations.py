"""Which values of a recipe do not go together: at which key it shows, and which other keys it depends on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bertc.precision import PRECISIONS
from bertc.recipe.keys import Problem
from bertc.recipe.schema import AUTO, VERSION, Observer, WeightScheme
from bertc.task_table import TASKS

Values = Mapping[str, Any]
"""The fields of a recipe, its sections as dataclasses."""

_DEFAULT_OBSERVER = Observer()


def impossible(values: Values) -> Iterator[Problem]:
    """Yield what does not go together in a recipe whose single values are all accepted."""
    for rule in _RULES:
        yield from rule(values)


def _clash(path: str, message: str, *reasons: str) -> Problem:
    return Problem(tuple(path.split(".")), message, tuple(tuple(each.split(".")) for each in reasons))


def _version(values: Values) -> Iterator[Problem]:
    version = values["version"]
    if version > VERSION:
        yield _clash(
            "version", f"version {version} is newer than this bertc reads ({VERSION}): upgrade bertc"
        )


def _activations(values: Values) -> Iterator[Problem]:
    scheme, section = values["activations"], "activations"
    key, advice = f"{section}.granularity", "use mode static or mixed, or leave it out"
    if scheme.mode == "dynamic":
        if scheme.granularity != "per_token":
            reason = (
                "a range that is found while the model runs is that of one token, or results would depend on"
                " the rest of the batch; use per_token, or mode static"
            )
            yield _no_dynamic(f"{key} {scheme.granularity}", key, reason)
        if scheme.symmetric:
            reason = "what is found while the model runs has a zero point"
            yield _no_dynamic(f"{section}.symmetric", f"{section}.symmetric", f"{reason}; {advice}")
        if scheme.observer is not None:
            reason = "nothing is observed in advance"
            yield _no_dynamic(f"{section}.observer", f"{section}.observer", f"{reason}; {advice}")
    elif scheme.granularity == "per_token":
        message = (
            f"{key} per_token does not go with mode {scheme.mode}: tokens are not known in advance; use"
            " per_tensor or per_channel_group, or mode dynamic"
        )
        yield _clash(key, message, f"{section}.mode")
    if scheme.group_size is not None and scheme.granularity != "per_channel_group":
        message = (
            f"{section}.group_size does not go with granularity {scheme.granularity}: it is for"
            " per_channel_group"
        )
        yield _clash(f"{section}.group_size", message, key, f"{section}.mode")


def _no_dynamic(what: str, key: str, reason: str) -> Problem:
    return _clash(key, f"{what} does not go with mode dynamic: {reason}", "activations.mode")


def _observer(values: Values) -> Iterator[Problem]:
    observer, key = values["activations"].observer, "activations.observer"
    for name, kind in (("percentile", "percentile"), ("topk_ratio", "topk")):
        if observer and observer.kind != kind and getattr(observer, name) != getattr(_DEFAULT_OBSERVER, name):
            message = f"{key}.{name} does not go with kind {observer.kind}: it is for {kind}"
            yield _clash(f"{key}.{name}", message, f"{key}.kind")


def _bits(values: Values) -> Iterator[Problem]:
    bits, dtype = values["weights"].bits, values["dtype"]
    if bits != WeightScheme().bits and PRECISIONS[dtype].weight_bits is None:
        yield _clash(
            "weights.bits",
            f"weights.bits {bits} does not go with dtype {dtype}: it is for int8; use dtype int8, or int7 for"
            " single parts or nodes",
            "dtype",
        )


def _embeddings(values: Values) -> Iterator[Problem]:
    whole, part = values["embeddings"], values["parts"].embeddings
    if None not in (whole, part) and whole != PRECISIONS[part].table:
        yield _clash(
            "parts.embeddings",
            f"parts.embeddings {part} contradicts embeddings {whole}: they are one thing, remove one of them",
            "embeddings",
        )


def _nodes(values: Values) -> Iterator[Problem]:
    for pattern in values["nodes"]:
        if pattern in values["exclude"]:
            message = f"nodes has {pattern!r}, which exclude keeps in fp32: remove it from one of them"
            yield Problem(("nodes", pattern), message, (("exclude",),))


def _calibration(values: Values) -> Iterator[Problem]:
    settings, key = values["calibration"], "calibration"
    data, kind = settings.data, settings.format
    from_hub = kind == "hub" or (data or "").startswith("hub:")
    if data is None and kind != "auto":
        yield _clash(f"{key}.format", f"{key}.format {kind} needs {key}.data", f"{key}.data")
    if from_hub and kind not in ("auto", "hub"):
        message = f"{key}.format {kind} does not go with data {data}: leave it out"
        yield _clash(f"{key}.format", message, f"{key}.data")
    if settings.subset is not None and not from_hub:
        message = f"{key}.subset is for data sets of the hub: use data hub:NAME, or leave it out"
        yield _clash(f"{key}.subset", message, f"{key}.data", f"{key}.format")
    if settings.pair_column is not None and (data is None or kind in ("text", "ids", "embeddings")):
        found = "the shipped texts" if data is None else f"format {kind}"
        message = f"{key}.pair_column does not go with {found}: there are no columns"
        yield _clash(f"{key}.pair_column", message, f"{key}.data", f"{key}.format")


def _budget(values: Values) -> Iterator[Problem]:
    budget, task, key = values["budget"], values["task"], "budget.metric"
    if budget is None:
        return
    tasks = [row.name for row in TASKS.values() if budget.metric in (AUTO, *row.budget_metrics)]
    if task is not None and task not in tasks:
        message = f"{key} {budget.metric} does not go with task {task}: it is for {' and '.join(tasks)}"
        yield _clash(key, message, "task")


_RULES: tuple[Callable[[Values], Iterator[Problem]], ...] = (
    _version,
    _activations,
    _observer,
    _bits,
    _embeddings,
    _nodes,
    _calibration,
    _budget,
)
