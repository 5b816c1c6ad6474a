from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest

from bertc.artifact.reader import open_artifact
from bertc.artifact.schema import Step
from bertc.bench.take_apart import ACTIVATIONS, KERNELS, split, take_apart
from bertc.ir import reference
from bertc.ir.ops import OPS
from bertc.runtime.session import ATTENTION_PARTS
from tests.conftest import MakeArtifact

NO_ATTENTION = np.zeros(len(ATTENTION_PARTS))


def step(op: str, outputs: tuple[str, ...] = ("y",), **attributes: str) -> Step:
    return Step(op, "layer", {"x": "x", "weight": "w"}, outputs, MappingProxyType(attributes))


def test_an_op_counts_for_the_kernel_that_is_named_or_for_one_of_its_own_name() -> None:
    assert set(KERNELS) <= {name for name, op in OPS.items() if "typed" in op.stages}
    (part,) = split(step("pool"), 3.0, [1.0], NO_ATTENTION)
    assert part.kernel == "pooling"
    (part,) = split(step("an op without a row"), 3.0, [1.0], NO_ATTENTION)
    assert (part.kernel, part.nanoseconds, part.products) == ("an op without a row", 3.0, 0.0)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
def test_fused_steps_become_several_and_products_lose_their_activation(
    artifact: MakeArtifact, dtype: str
) -> None:
    program = open_artifact(artifact("embedding", dtype)).manifest.program
    apart, origins = take_apart(program)
    assert len(origins) == len(apart.steps) and origins == sorted(origins)
    assert {each.attributes.get("activation", "none") for each in apart.steps} == {"none"}
    assert not {each.op for each in apart.steps} & {"layer_norm_quantize", "layer_norm_bf16"}
    written = {name for each in apart.steps for name in each.outputs}
    assert written == {name for each in program.steps for name in each.outputs}


def test_an_activation_is_what_a_product_takes_longer_with_it() -> None:
    parts = split(step("linear_int8", activation="gelu"), 10.0, [0.7], NO_ATTENTION)
    assert [(part.kernel, part.nanoseconds, part.products) for part in parts] == [
        ("GEMM", 7.0, 1.0),
        ("GELU", 3.0, 0.0),
    ]
    assert set(ACTIVATIONS) == set(reference.ACTIVATIONS)
    slower = split(step("linear", activation="gelu"), 10.0, [1.1], NO_ATTENTION)
    assert [part.nanoseconds for part in slower] == [10, 0]
    (part,) = split(step("linear", activation="none"), 10.0, [0.9], NO_ATTENTION)
    assert (part.kernel, part.nanoseconds, part.operands) == ("GEMM", 10.0, ("x", "w", "y"))


def test_a_norm_that_quantizes_is_divided_as_its_parts_are() -> None:
    fused = step("layer_norm_quantize", ("y", "q", "s", "z"))
    norm, quantize = split(fused, 8.0, [0.9, 0.3], NO_ATTENTION)
    assert (norm.kernel, norm.nanoseconds, norm.operands) == ("layer norm", 6.0, ("x", "w", "y"))
    assert (quantize.kernel, quantize.nanoseconds, quantize.operands) == ("quantize", 2.0, ("q", "s", "z"))


def test_attention_is_divided_as_its_own_clock_tells() -> None:
    expected = {
        "attention: Q x K": (3.0, 0.5),
        "attention: P x V": (4.0, 0.5),
        "softmax": (2.0, 0.0),
        "attention: packing": (1.0, 0.0),
    }
    parts = split(step("attention"), 10.0, [1.0], np.array([0.1, 0.3, 0.0, 0.2, 0.4]))
    assert {part.kernel: (part.nanoseconds, part.products) for part in parts} == expected
    disentangled = replace(step("attention"), inputs={"qkv": "x", "buckets": "b"})
    parts = split(disentangled, 15.0, [1.0], np.array([0.1, 0.3, 0.5, 0.2, 0.4]) / 1.5)
    found = {part.kernel: (round(part.nanoseconds, 9), part.products) for part in parts}
    assert found == {**expected, "attention: distances": (5.0, 0.0)}
