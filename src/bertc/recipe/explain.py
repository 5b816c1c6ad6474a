"""Says in plain words what a recipe does, and what other tool-chains call the same thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from bertc.precision import BF16, FP16, FP32, INT8, WEIGHT_BITS
from bertc.recipe.recipe import Recipe
from bertc.recipe.template import spell


class Explanation(NamedTuple):
    """One decision of a recipe."""

    key: str
    value: str
    meaning: str
    elsewhere: str = ""
    """What other tool-chains call the same thing."""


MEANINGS: Mapping[str, Mapping[Any, str]] = {
    "dtype": {
        INT8: "Linear layers multiply 8-bit integers, exactly, and scale the sums back. Attention computes"
        " in bf16 where the processor can, and compares the tokens of longer texts in 8 bits. Layer norms and"
        " sums between layers stay in fp32.",
        BF16: "Linear layers and attention compute in bf16; weights take half of fp32's space.",
        FP32: "Nothing is quantized.",
    },
    "weights.granularity": {
        "per_channel": "Every output channel of a matrix has a scale of its own.",
        "per_tensor": "A matrix has one scale: a single large weight costs all of them resolution.",
    },
    "weights.bits": {
        8: "Weights are whole numbers from -127 to 127.",
        7: "Weights are whole numbers from -63 to 63: any pair of them is bounded.",
    },
    "weights.clip": {
        "max": "Scales fit the largest weight, and the largest group where weights are bounded.",
        "mse": "Scales clip the largest weights if that makes the squared error smaller.",
    },
    "weights.bound": {
        "pairs": "Two neighboring weights of one sign add up to 128 at most: processors with AVX2 and no VNNI"
        " multiply them twice as fast as any weights, and still exactly.",
        "fours": "Four weights of one sign add up to 128 at most: AVX2 without VNNI is faster again than with"
        " pairs, exactly; a fifth further from fp32.",
        "none": "Weights are bounded one by one: AVX2 without VNNI has to widen them.",
    },
    "weights.rounding": {
        "nearest": "Each weight is rounded by itself.",
        "gptq": "Weights are rounded one after the other, and the later ones make up for the error of the"
        " earlier ones on the calibration data (GPTQ).",
    },
    "activations.mode": {
        "dynamic": "Inputs of layers are quantized by the range that they have, found while the model runs.",
        "static": "Inputs of layers are quantized by ranges that calibration found.",
        "mixed": "The outputs of GELU and attention have ranges from calibration, so that they are written in"
        " 8 bits at once; other inputs are quantized by the range that they have.",
    },
    "activations.granularity": {
        "per_token": "Each token has a range of its own, so one outlier costs no other token anything.",
        "per_tensor": "All tokens share one range: a single outlier costs all of them resolution.",
        "per_channel_group": "Each group of channels has a range, folded into the weights that read it.",
    },
    "activations.symmetric": {
        False: "A zero point fits the 8 bits to ranges that are not centered.",
        True: "The range is centered on zero, even if the values are not.",
    },
    "activations.observer.kind": {
        "max": "A range is all that was seen.",
        "percentile": "A range leaves out the outermost values: the share that percentile says.",
        "topk": "A range ends at the mean of the outermost values: the share that topk_ratio says.",
        "mse": "A range is the one with the least squared error.",
        "kl": "A range is the one whose histogram diverges least from the original.",
    },
    "smoothing.migration": {
        "auto": "Large channels are scaled down before quantization and their weights up, by as much as is"
        " best for each layer (SmoothQuant). Exact before rounding.",
        None: "Channels are quantized as they are.",
    },
    "smoothing.channel_shift": {
        True: "Channels that are not centered are shifted before quantization, and biases make up for it"
        " (Outlier Suppression+). Exact before rounding.",
        False: "Channels are not shifted.",
    },
    "smoothing.place_shift": {
        True: "Where the first or the last token of a text is large and nearly the same in all texts, it is"
        " shifted by its own mean before quantization, and a bias of its own makes up for it. Exact before"
        " rounding.",
        False: "The first and the last token are quantized as all others.",
    },
    "smoothing.rotation": {
        True: "The channels of a token whose range is its own are mixed by a Hadamard matrix before"
        " quantization, so that its largest number and the largest weights are smaller, and weights make up"
        " for it (QuaRot). Exact before rounding.",
        False: "Channels are not mixed.",
    },
    "bias_correction": {
        True: "Each layer's mean error on the calibration data is taken off its bias.",
        False: "Biases stay as they are.",
    },
    "embeddings": {
        INT8: "Word embeddings are stored in 8 bits with a scale per word, the small tables in fp16.",
        FP16: "Embedding tables are stored in fp16.",
        FP32: "Embedding tables are stored in fp32.",
    },
    "budget.metric": {
        "auto": "Mean cosine of embeddings, top-1 agreement of logits; with eval_data the task's own metric.",
        "cosine": "Mean cosine of embeddings to those of fp32.",
        "correlation": "Correlation of values with those of fp32.",
        "top1_agreement": "Share of the decisions that are those of fp32.",
        "spearman": "Correlation of similarities with what people found, on eval_data.",
        "accuracy": "Share of right labels, on eval_data.",
        "entity_f1": "F1 of whole entities, on eval_data.",
        "answer_f1": "F1 of the words of answers, on eval_data.",
    },
}
"""What each value of each key does."""

ELSEWHERE: Mapping[str, str] = {
    "dtype": "Vastai vamc: backend.dtype; Ascend ATC: the precision mode",
    "weights.granularity": "Mobilint: per channel (older: method 0 or 1); Vastai vamc: per_channel",
    "weights.bits": "Mobilint: bits per part, 8 or 4",
    "weights.clip": "Vastai vamc: weight_scale; Mobilint: weight-scale search",
    "activations.mode": "Mobilint and Vastai: static",
    "activations.granularity": "Mobilint: output 0 per layer, 1 per channel",
    "activations.symmetric": "Mobilint: the methods without zero point",
    "activations.observer.kind": "Mobilint: mode 0 max, 1 max-percentile, 2 histogram-KL; Vastai vamc:"
    " calibrate_mode max, percentile, mse, kl_divergence",
    "activations.observer.percentile": "Mobilint: percentile .999; Vastai vamc: calibrate_range .99999",
    "activations.observer.topk_ratio": "Mobilint: top-k ratio",
    "smoothing.migration": "Mobilint: equivalent transforms of norms",
    "parts": "Mobilint: bits for Q, K, V, O, FFN and head; Vastai vamc: quantize_operators",
    "exclude": "Vastai vamc: exclude_layers, by index; Ascend ATC: per-op lists",
    "nodes": "Ascend ATC: per-op lists",
    "calibration.samples": "Vastai vamc: dataset.get_data_num 10; Mobilint: 100-256 files",
}
"""What other tool-chains call each key."""


def explain(recipe: Recipe) -> list[Explanation]:
    """Return each decision of the recipe that has an effect."""
    return [
        Explanation(key, spell(value), meaning, ELSEWHERE.get(key) or ELSEWHERE.get(key.split(".")[0], ""))
        for key, value, meaning in _decisions(recipe)
    ]


def quantizes(recipe: Recipe) -> bool:
    """Return whether any linear layer can be int8 or int7."""
    parts = [value for name, value in recipe.parts.fields().items() if name != "embeddings"]
    return bool(WEIGHT_BITS.keys() & {recipe.dtype, *parts, *recipe.nodes.values()})


def _decisions(recipe: Recipe) -> Iterator[tuple[str, Any, str]]:
    yield _look_up("dtype", recipe.dtype)
    yield _look_up("embeddings", recipe.embedding_dtype)
    for part, precision in recipe.parts.fields().items():
        if precision is not None and part != "embeddings":
            yield f"parts.{part}", precision, f"This part computes in {precision}."
    if recipe.parts.head is None and recipe.dtype != FP32:
        yield "parts.head", None, "The layer that gives the logits stays in fp32: it is small."
    if recipe.exclude:
        yield "exclude", recipe.exclude, "Nodes of these names stay in fp32."
    if recipe.nodes:
        yield "nodes", recipe.nodes, "Nodes of these names compute in what is said; the last match counts."
    if quantizes(recipe):
        yield from _quantization(recipe)
    yield from _data(recipe)


def _quantization(recipe: Recipe) -> Iterator[tuple[str, Any, str]]:
    for name in ("granularity", "bits", "bound", "clip", "rounding"):
        yield _look_up(f"weights.{name}", getattr(recipe.weights, name))
    scheme = recipe.activations
    for name in ("mode", "granularity", "symmetric"):
        yield _look_up(f"activations.{name}", getattr(scheme, name))
    if scheme.group_size is not None:
        yield "activations.group_size", scheme.group_size, "So many neighboring channels are a group."
    if scheme.observer is not None:
        yield _look_up("activations.observer.kind", scheme.observer.kind)
        if scheme.observer.kind == "percentile":
            share = f"{100 - scheme.observer.percentile:.4g} % of the values lie outside their range."
            yield "activations.observer.percentile", scheme.observer.percentile, share
        if scheme.observer.kind == "topk":
            share = f"The outermost {100 * scheme.observer.topk_ratio:.4g} % of the values are averaged."
            yield "activations.observer.topk_ratio", scheme.observer.topk_ratio, share
    migration = recipe.smoothing.migration
    if isinstance(migration, (int, float)):
        yield "smoothing.migration", migration, "Large channels are scaled down and their weights up, so far."
    else:
        yield _look_up("smoothing.migration", migration)
    yield _look_up("smoothing.channel_shift", recipe.smoothing.channel_shift)
    yield _look_up("bias_correction", recipe.bias_correction)


def _look_up(key: str, value: Any) -> tuple[str, Any, str]:
    return key, value, MEANINGS[key][value]


def _data(recipe: Recipe) -> Iterator[tuple[str, Any, str]]:
    data, budget = recipe.calibration, recipe.budget
    source = "the sample texts that bertc ships" if data.data is None else data.data
    if quantizes(recipe) and not recipe.calibrates:
        yield "calibration", None, "No method of this recipe looks at data: nothing is calibrated."
    elif quantizes(recipe) and data.statistics is not None:
        yield "calibration.statistics", data.statistics, "What was collected before is used again."
    elif quantizes(recipe):
        yield "calibration.samples", data.samples, f"So many samples of {source} calibrate, seed {data.seed}."
    yield "calibration.held_out", data.held_out, f"The certificate is measured on so many others of {source}."
    if budget is not None:
        drop = f"At most {100 * budget.max_drop:.4g} % of the metric may be lost against fp32"
        fallback = "layers fall back to bf16 or fp32, the cheapest first, until it holds."
        yield "budget.max_drop", budget.max_drop, f"{drop}; {fallback}"
        yield _look_up("budget.metric", budget.metric)
