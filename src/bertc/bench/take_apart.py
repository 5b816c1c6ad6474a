"""Takes fused steps apart: makes a program whose times tell how those of the real one are made up.

A product's activation is what the step takes longer than without it. Layer norm and quantizing share
the time of the step that does both, in the ratio of what they take one after the other. Attention's
kernel reads a clock between its parts in runs of their own; the time of the step is divided as those
tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from bertc.artifact.schema import Program, Step
from bertc.bench.work import LINEAR_DTYPES

Array = np.ndarray[Any, Any]

GEMM, NORM, QUANTIZE = "GEMM", "layer norm", "quantize"
SCORES, DISTANCES = "attention: Q x K", "attention: distances"
KERNELS = {
    **dict.fromkeys(LINEAR_DTYPES, GEMM),
    "layer_norm": NORM,
    "layer_norm_quantize": NORM,
    "layer_norm_bf16": NORM,
    "quantize_rows": QUANTIZE,
    "cast_bf16": QUANTIZE,
    "attention": "attention",
    "embed": "embedding",
    "pool": "pooling",
    "normalize": "pooling",
    "concat": "pooling",
    "select_rows": "selecting tokens",
}
"""The kernel that the time of each op is counted for, as far as the op is not taken apart."""
ACTIVATIONS = {
    "gelu": "GELU",
    "gelu_tanh": "GELU",
    "quick_gelu": "GELU",
    "relu": "ReLU",
    "log1p_relu": "log(1 + ReLU)",
    "silu": "SiLU",
    "mish": "Mish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
}
"""The kernel that the time of each activation is counted for."""
QUANTIZING_NORMS = {"layer_norm_quantize": "quantize_rows", "layer_norm_bf16": "cast_bf16"}
"""The op that only quantizes, for each layer norm that also writes what the next product takes."""
NORM_OPERANDS = ("x", "gamma", "beta")


def take_apart(program: Program) -> tuple[Program, list[int]]:
    """Take a program apart; return it, and for each of its steps the index of the one that it was part of.

    The results of the program are of no use: products have lost their activation.
    """
    steps: list[Step] = []
    origins: list[int] = []
    for index, step in enumerate(program.steps):
        parts = _parts(step)
        steps += parts
        origins += [index] * len(parts)
    return replace(program, steps=tuple(steps)), origins


def _parts(step: Step) -> list[Step]:
    if step.op in LINEAR_DTYPES:
        return [replace(step, attributes=MappingProxyType({**step.attributes, "activation": "none"}))]
    if step.op in QUANTIZING_NORMS:
        plain, *quantized = step.outputs
        own = {operand: name for operand, name in step.inputs.items() if operand in NORM_OPERANDS}
        norm = replace(step, op="layer_norm", inputs=own, outputs=(plain,))
        inputs = {operand: name for operand, name in step.inputs.items() if operand not in own}
        op, name = QUANTIZING_NORMS[step.op], f"{step.name}.quantize"
        return [norm, Step(op, name, {"x": plain, **inputs}, tuple(quantized))]
    return [step]


@dataclass(frozen=True)
class Part:
    """The time that a step spends in one kernel."""

    kernel: str
    nanoseconds: float
    operands: tuple[str, ...] = ()
    """The operands of the step that this part reads or writes."""
    products: float = 0.0
    """The share of the step's matrix products that is in this part, but of those with rows of distances: they
    are all in the part of the kernel ``DISTANCES``."""


def split(step: Step, nanoseconds: float, apart: Sequence[float], attention: Array) -> list[Part]:
    """Divide the time of a step by kernel.

    ``apart`` has the times of the steps that it was taken apart into, as shares of its own time, and
    ``attention`` the shares of ATTENTION_PARTS.
    """
    operands = (*step.inputs.values(), *step.outputs)
    if step.op in QUANTIZING_NORMS:
        share = apart[0] / max(sum(apart), 1e-9)
        return [
            Part(NORM, nanoseconds * share, (*step.inputs.values(), step.outputs[0])),
            Part(QUANTIZE, nanoseconds * (1 - share), step.outputs[1:]),
        ]
    kernel = KERNELS.get(step.op, step.op)
    activation = ACTIVATIONS.get(str(step.attributes.get("activation")))
    if activation is not None:
        plain = nanoseconds * min(apart[0], 1.0)
        return [Part(kernel, plain, operands, products=1.0), Part(activation, nanoseconds - plain)]
    if step.op == "attention":
        packing, scores, distances, softmax, mixing = (nanoseconds * float(share) for share in attention)
        parts = [
            Part(SCORES, scores, products=0.5),
            Part("attention: P x V", mixing, products=0.5),
            Part("softmax", softmax),
            Part("attention: packing", packing, operands),
        ]
        return [*parts, Part(DISTANCES, distances)] if "buckets" in step.inputs else parts
    return [Part(kernel, nanoseconds, operands, products=1.0 if kernel == GEMM else 0.0)]
