"""The sections of a recipe: frozen dataclasses that check their values. ``recipe.py`` has the whole."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bertc.precision import DTYPES, LAYER_DTYPES, WEIGHT_BITS, WEIGHT_BOUNDS
from bertc.recipe.keys import (
    flag,
    name_or_number,
    number,
    one_of,
    parse_share,
    raise_problems,
    rule_of,
    section,
    setting,
    share,
    text,
    whole,
    wrong_values,
)
from bertc.task_table import TASKS

VERSION = 1
AUTO = "auto"
METRICS = (AUTO, *dict.fromkeys(metric for row in TASKS.values() for metric in row.budget_metrics))
FORMATS = ("auto", "text", "jsonl", "csv", "tsv", "parquet", "hub", "ids", "embeddings")


@dataclass(frozen=True, kw_only=True)
class Section:
    """A group of keys. Raises ``RecipeError`` that lists every value that is not accepted."""

    def __post_init__(self) -> None:
        raise_problems(list(wrong_values(type(self), self.fields())))
        for field in dataclasses.fields(self):
            nested, value = rule_of(field).section, getattr(self, field.name)
            if nested is not None and isinstance(value, Mapping):
                self._set(field.name, nested(**value))

    def fields(self) -> dict[str, Any]:
        """Return the value of each field, sections as they are."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as JSON and YAML have them."""
        return {name: _plain(value) for name, value in self.fields().items()}

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


@dataclass(frozen=True, kw_only=True)
class WeightScheme(Section):
    """Says how weights of int8 and int7 layers are quantized: signed, symmetric."""

    granularity: str = setting(
        "per_channel",
        one_of("per_channel", "per_tensor"),
        "One scale per output channel, or one for the whole matrix.",
    )
    bits: int = setting(
        8,
        one_of(*WEIGHT_BITS.values()),
        "8, or 7: -63..63.",
    )
    clip: str = setting(
        "mse",
        one_of("max", "mse"),
        "max: scale from the largest weight, or bounded group. mse: from the clip that gives the least"
        " squared error.",
    )
    bound: str = setting(
        "pairs",
        one_of(*WEIGHT_BOUNDS),
        "pairs: 2 neighboring weights of one sign add up to 128 at most, so that AVX2 without VNNI multiplies"
        " twice as fast, exactly. fours: so do 4, which is faster again, and less accurate.",
    )
    rounding: str = setting(
        "gptq",
        one_of("nearest", "gptq"),
        "nearest, or gptq: later weights make up for what rounding the earlier ones lost. Calibrated.",
    )


@dataclass(frozen=True, kw_only=True)
class Observer(Section):
    """Says how a static range is chosen from what calibration saw."""

    kind: str = setting(
        "mse",
        one_of("max", "percentile", "topk", "mse", "kl"),
        "max: all that was seen. percentile: all but the outermost values. topk: the mean of the outermost"
        " ones. mse: least squared error. kl: least divergence of the histograms.",
    )
    percentile: float = setting(
        99.99,
        number(50, 100, above=True, unit=" percent"),
        "For percentile: how many percent of the values lie inside the range.",
    )
    topk_ratio: float = setting(
        0.01, number(0, 1, above=True), "For topk: the share of the values that counts as outermost."
    )


@dataclass(frozen=True, kw_only=True)
class ActivationScheme(Section):
    """Says how inputs of int8 and int7 layers are quantized: unsigned 8 bits with a zero point."""

    mode: str = setting(
        "dynamic",
        one_of("dynamic", "static", "mixed"),
        "dynamic: ranges are found while the model runs. static: by calibration. mixed: static where the"
        " producer can then write 8 bits at once (GELU, attention), dynamic elsewhere.",
    )
    granularity: str | None = setting(
        None,
        one_of("per_token", "per_tensor", "per_channel_group"),
        "per_token (dynamic), per_tensor or per_channel_group (the others). Nothing: the first that fits.",
    )
    group_size: int | None = setting(
        None, whole(1), "For per_channel_group: channels per group. Nothing: 64."
    )
    symmetric: bool = setting(
        False, flag(), "Fix the zero point of static ranges at 128, in the middle, instead of choosing it."
    )
    observer: Observer | None = section(
        Observer, "How static ranges are chosen. Nothing if mode is dynamic.", optional=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.granularity is None:
            self._set("granularity", "per_token" if self.mode == "dynamic" else "per_tensor")
        if self.group_size is None and self.granularity == "per_channel_group":
            self._set("group_size", 64)
        if self.observer is None and self.mode != "dynamic":
            self._set("observer", Observer())


@dataclass(frozen=True, kw_only=True)
class Smoothing(Section):
    """Says what moves out of activations, before they are quantized, into weights and biases, exactly."""

    migration: float | str | None = setting(
        "auto",
        number(0, 1, "auto", None),
        "SmoothQuant: how much of each channel's size moves into the weights; auto searches it per layer.",
    )
    channel_shift: bool = setting(
        True, flag(), "Outlier Suppression+: shift each channel by its mean on the calibration data."
    )
    place_shift: bool = setting(
        True,
        flag(),
        "Shift the first and the last token of a text by their own means, in layers where that pays.",
    )
    rotation: bool = setting(
        True, flag(), "QuaRot: mix the channels of a token by a Hadamard matrix, so that none is far larger."
    )


@dataclass(frozen=True, kw_only=True)
class Parts(Section):
    """Says what each part of the model computes in, where ``dtype`` and ``weights.bits`` do not."""

    query: str | None = setting(None, one_of(*LAYER_DTYPES), "Query projections.")
    key: str | None = setting(None, one_of(*LAYER_DTYPES), "Key projections.")
    value: str | None = setting(None, one_of(*LAYER_DTYPES), "Value projections.")
    output: str | None = setting(None, one_of(*LAYER_DTYPES), "Output projections of attention.")
    ffn: str | None = setting(None, one_of(*LAYER_DTYPES), "Both matrices of the feed-forward blocks.")
    embeddings: str | None = setting(
        None, one_of(*DTYPES), "Tables. 16 bits are stored as fp16, which is finer."
    )
    head: str | None = setting(
        None,
        one_of(*LAYER_DTYPES),
        "Pooler and classifier. Nothing: as all layers, but the one that gives the logits in fp32.",
    )


@dataclass(frozen=True, kw_only=True)
class Calibration(Section):
    """Names the data that ranges, scales and roundings are fitted to, and held-out data to measure on."""

    data: str | None = setting(
        None,
        text(),
        "File, folder, or hub:NAME for a data set of the hub. Nothing: the sample texts that bertc ships.",
    )
    format: str = setting("auto", one_of(*FORMATS), "What data is. auto: by the ending of its name.")
    column: str = setting("text", name_or_number(), "Where tables have the text.")
    pair_column: str | None = setting(
        None, name_or_number(), "Where tables have the second text, for models of pairs."
    )
    subset: str | None = setting(None, text(), "The configuration of a hub data set.")
    split: str = setting("train", text(), "The split of a hub data set.")
    samples: int = setting(512, whole(1), "How many samples calibrate.")
    held_out: int = setting(128, whole(1), "How many others the certificate is measured on.")
    seed: int = setting(0, whole(0), "Which samples those are.")
    max_length: int | None = setting(
        None,
        whole(8),
        "Tokens per sample, longer ones are cut. Nothing: what the model takes.",
    )
    statistics: str | None = setting(
        None, text(), "A file of collected statistics to use instead of collecting."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("column", "pair_column"):
            if (value := getattr(self, name)) is not None:
                self._set(name, str(value))


@dataclass(frozen=True, kw_only=True)
class Budget(Section):
    """Limits what may be lost: layers fall back to bf16 or fp32, cheapest first, until it is kept."""

    max_drop: float = setting(0.001, share(), 'Share of the metric to lose against fp32: 0.001, or "0.1%".')
    metric: str = setting(
        AUTO,
        one_of(*METRICS),
        "auto: cosine of embeddings, top-1 agreement of logits, with eval_data the task's own metric.",
    )
    eval_data: str | None = setting(None, text(), "Labeled data for the task's metric.")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("max_drop", parse_share(self.max_drop))


def _plain(value: Any) -> Any:
    if isinstance(value, Section):
        return value.to_dict()
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
