"""What other tool-chains' settings mean as a recipe, and which of them have no meaning here.

Each table has a row for every name that is known: a function of the value, which returns keys of the recipe
with their values, or a sentence that says why there is nothing to set.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from bertc.precision import BF16, FP32, INT8
from bertc.recipe.documents import Document
from bertc.recipe.keys import KeyPath, Problem, raise_problems
from bertc.recipe.presets import PRESETS

Found = Mapping[str, Any] | str
"""Keys of the recipe, dotted, with their values; or why a setting has no meaning here."""
Row = Callable[[Any], Found]

BASE = "vendor-percentile"
"""The preset of what these tool-chains have in common: static ranges, nothing that makes up for errors."""
_KIND, _PERCENTILE = "activations.observer.kind", "activations.observer.percentile"


class Translation(NamedTuple):
    """The values of a recipe, and what could not be said in them."""

    values: dict[str, Any]
    notes: list[str]
    """A line for each setting that has no meaning here, and why."""


class _WrongValueError(ValueError):
    """The message completes the sentence "expected ..."."""


def _nothing(why: str) -> Row:
    return lambda _: why


def _key(name: str) -> Row:
    return lambda value: {name: value}


def _choice(choices: Mapping[Any, Found]) -> Row:
    def row(value: Any) -> Found:
        for choice, found in choices.items():
            if type(choice) is type(value) and choice == value:
                return found
        raise _WrongValueError(f"one of {', '.join(map(str, choices))}")

    return row


def _percentile(value: Any) -> Found:
    if not isinstance(value, float) or not 0.5 < value <= 1:
        raise _WrongValueError("a number above 0.5 and up to 1, such as 0.999")
    return {_PERCENTILE: round(100 * value, 9)}


def _samples(value: Any) -> Found:
    if type(value) is not int or value < 1:
        raise _WrongValueError("a whole number from 1")
    return {"calibration.samples": value}


def _fewer_layers(value: Any) -> Found:
    if not value:
        return {}
    return "layers are named here, not numbered: bertc inspect lists them, exclude keeps them in fp32"


_PER_CHANNEL = {"weights.granularity": "per_channel"}
_PER_TENSOR = {"weights.granularity": "per_tensor"}
_BY_FLAG = _choice({True: _PER_CHANNEL, False: _PER_TENSOR})
_ANY_SHAPE = "a file takes any batch and length"
_OUTPUT = "bertc compile -o names the file to write"
_FOUND_OUT = "it is found out from the model"
_ON_PROCESSORS = "it is about an accelerator"

VAMC: Mapping[str, Row] = {
    "name": _nothing(_OUTPUT),
    "frontend.checkpoint": _key("source"),
    "frontend.type": _nothing(_FOUND_OUT),
    "frontend.shape": _nothing(_ANY_SHAPE),
    "frontend.dtype": _nothing(_FOUND_OUT),
    "graph": _nothing(_ON_PROCESSORS),
    "backend.type": _nothing(_ON_PROCESSORS),
    "backend.dtype": _choice({"fp16": {"dtype": BF16}, "int8": {"dtype": INT8}, "fp32": {"dtype": FP32}}),
    "backend.merge_params": _nothing("a file has all weights in it"),
    "backend.compile": _nothing(_ON_PROCESSORS),
    "backend.attention_split_num": _nothing("attention takes any length as it is"),
    "backend.quantize.calibrate_mode": _choice(
        {
            "max": {_KIND: "max"},
            "mse": {_KIND: "mse"},
            "percentile": {_KIND: "percentile"},
            "kl_divergence": {_KIND: "kl"},
        }
    ),
    "backend.quantize.quantize_per_channel": _BY_FLAG,
    "backend.quantize.per_channel": _BY_FLAG,
    "backend.quantize.calibrate_range": _percentile,
    "backend.quantize.calibrate_chunk_by": _nothing("samples are run one after the other"),
    "backend.quantize.overflow_adaptive": _nothing("sums have 32 bits: none overflows"),
    "backend.quantize.weight_scale": _choice(
        {
            "max": {"weights.clip": "max"},
            "mse": {"weights.clip": "mse"},
            "power2": "scales are no powers of two: any number costs the same",
        }
    ),
    "backend.quantize.exclude_layers": _fewer_layers,
    "backend.quantize.skip_conv_layers": _fewer_layers,
    "backend.quantize.skip_matmul_layers": _fewer_layers,
    "backend.quantize.quantize_operators": _nothing(
        "parts and nodes say what computes in 8 bits: linear layers do, whose sums are exact"
    ),
    "dataset.path": _key("calibration.data"),
    "dataset.type": _nothing("calibration.format ids says what the data is"),
    "dataset.sampler.suffix": _nothing("the files of a folder are told by their endings"),
    "dataset.sampler.get_data_num": _samples,
    "dataset.process_ops": _nothing("prepared ids are taken as they are"),
    "workspace": _nothing(_OUTPUT),
}
"""Vastai's ``vamc compile x.yaml``."""

_MODES = _choice({0: {_KIND: "max"}, 1: {_KIND: "percentile"}, 2: {_KIND: "kl"}})
_OUTPUTS = _choice(
    {
        0: {"activations.granularity": "per_tensor"},
        1: {"activations.granularity": "per_channel_group"},
        2: "outputs are numbers of float32, without a sigmoid",
    }
)
_METHODS = _choice({0: _PER_TENSOR, 1: _PER_CHANNEL})
_HISTOGRAM = "the histogram of kl has 2048 bins, and its search no settings"

QUANTIZATION_CONFIG: Mapping[str, Row] = {
    "quantization_method": _METHODS,
    "quantization_output": _OUTPUTS,
    "quantization_mode": _MODES,
    "method": _METHODS,
    "output": _OUTPUTS,
    "mode": _MODES,
    "percentile": _percentile,
    "topk_ratio": _nothing("a percentile is that of all values; activations.observer.kind topk is another"),
    "max_each": _nothing("all values of a sample are looked at"),
    "max_total": _nothing("all values of a sample are looked at"),
    **{
        f"hist_{name}": _nothing(_HISTOGRAM)
        for name in (
            *("percentile", "use_gpu", "num_bins", "num_samples", "buffer_size", "min_bin_width"),
            *("search_percentile_min", "search_percentile_max", "num_search", "search_type"),
        )
    },
    "act_scale_min": _nothing("scales are as small as their values"),
    "weight_scale_min": _nothing("scales are as small as their values"),
    "min_clip_ratio": _nothing("weights.clip mse searches clips by itself"),
    "layer_overrides": _nothing("nodes and exclude say what single layers compute in"),
    "optional": _nothing("every key may be left out"),
    "calib_data_path": _key("calibration.data"),
}
"""The keyword arguments of Mobilint's ``QuantizationConfig`` and ``CalibrationConfig``, and its data."""


def from_vamc(document: Document) -> Translation:
    """Return what a YAML file of ``vamc compile`` says. Raises ``RecipeError`` with every problem's line."""
    if not isinstance(document.values, Mapping):
        raise_problems([Problem((), "expected the mapping of vamc: frontend, dataset, backend, workspace")])
    found, notes = _read(VAMC, document)
    if found.get("dtype", INT8) != INT8:
        for name in [name for name in found if name not in ("dtype", "source")]:
            notes.append(f"{name}: nothing is quantized with this dtype")
            del found[name]
        return Translation(_nested(found), notes)
    if "calibration.data" in found:
        found["calibration.format"] = "ids"
    return _static(found, notes)


def from_quantization_config(names: Mapping[str, Any]) -> Translation:
    """Return what arguments of ``QuantizationConfig`` say. Raises ``RecipeError`` with all problems."""
    return _static(*_read(QUANTIZATION_CONFIG, Document(dict(names))))


def _read(table: Mapping[str, Row], document: Document) -> tuple[dict[str, Any], list[str]]:
    found: dict[str, Any] = {}
    notes: list[str] = []
    problems = list(document.problems)
    for path, value in _settings(table, document.values):
        name = ".".join(path)
        if name not in table:
            problems.append(Problem(path, f"unknown key {name!r}, did you mean {_nearest(table, path)!r}?"))
            continue
        try:
            meaning = table[name](value)
        except _WrongValueError as error:
            problems.append(Problem(path, f"{name} is {value!r:.60}, expected {error}"))
            continue
        if isinstance(meaning, str):
            inside = f" ({', '.join(map(str, value))})" if isinstance(value, Mapping) else ""
            notes.append(f"{name}{inside}: {meaning}")
        else:
            found |= meaning
    raise_problems(problems, document.line_of)
    return found, notes


def _settings(
    table: Mapping[str, Row], values: Mapping[Any, Any], at: KeyPath = ()
) -> Iterator[tuple[KeyPath, Any]]:
    """Yield each setting: what the table knows, or what is in no section that it knows."""
    for key, value in values.items():
        path = (*at, str(key))
        name = ".".join(path)
        is_section = any(known.startswith(f"{name}.") for known in table)
        if name not in table and is_section and isinstance(value, Mapping):
            yield from _settings(table, value, path)
        else:
            yield path, value


def _nearest(table: Mapping[str, Row], path: KeyPath) -> str:
    """Return the known name that is closest: in the same section, else in any."""
    *section, name = path
    depth = len(path)
    beside = {
        parts[depth - 1]: parts[:depth] for parts in map(_parts, table) if parts[: depth - 1] == section
    }
    anywhere = {parts[-1]: parts for parts in map(_parts, table)}
    for known, cutoff in ((beside, 0.6), (anywhere, 0.6), (beside or anywhere, 0.0)):
        if close := difflib.get_close_matches(name, known, n=1, cutoff=cutoff):
            return ".".join(known[close[0]])
    return next(iter(table))


def _parts(name: str) -> list[str]:
    return name.split(".")


def _static(found: dict[str, Any], notes: list[str]) -> Translation:
    """Return a recipe with static ranges. A percentile is left out where it has no effect."""
    if found.get(_KIND, "percentile") != "percentile" and _PERCENTILE in found:
        notes.append(f"{_PERCENTILE} {found.pop(_PERCENTILE)}: it is for percentile, not {found[_KIND]}")
    base = _flat(PRESETS[BASE].values)
    if found.get(_KIND, "percentile") != "percentile":
        del base[_PERCENTILE]
    return Translation(_nested(base | found), notes)


def _flat(values: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= _flat(value, f"{at}{name}.") if isinstance(value, Mapping) else {f"{at}{name}": value}
    return found


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        *sections, key = name.split(".")
        place = found
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
    return found
