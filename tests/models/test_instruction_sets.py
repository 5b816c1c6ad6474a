"""Whole models on each instruction set of this machine: how closely they agree, and how one is chosen.

Single ops are held to their NumPy twins in ``tests/parity``; there, integer sums are bit-identical.
Here floats have gone through all layers, and a value on the edge between two quantized ones may
fall to either side: the tolerances say how far that carries (``docs/numerics.md``).
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.artifact.reader import open_artifact
from bertc.runtime.session import Session
from tests.support import fidelity
from tests.support.artifacts import Artifacts
from tests.support.batches import packed, random_lengths
from tests.support.native import ISAS
from tests.support.real_data import MINILM, sts_sentences

Array = np.ndarray[Any, Any]

HEADS: dict[str, dict[str, Any]] = {
    "embedding": {"pooling": "mean", "normalize": True},
    "classification": {},
    "token_classification": {"hidden_size": 72, "num_attention_heads": 4, "intermediate_size": 150},
}
FP32_SQNR_DB = 110.0
"""Sums in another order differ by some roundings of 1e-7 of their largest terms: 1e-5.5 after all layers."""
INDEPENDENT_DB = 4.0
"""In lower precisions a rounding that falls to the other side is amplified from layer to layer. At worst
the errors of two instruction sets are independent: their difference has twice the power of the error
that the precision itself has against fp32, 3 dB; 1 dB more since samples are small."""


def random_batch(seed: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return packed([rng.integers(0, 300, length) for length in random_lengths(rng, 20, 150)])


def run_everywhere(artifact: Path, batch: tuple[Array, Array]) -> list[dict[str, Array]]:
    opened = open_artifact(artifact)
    return [Session(opened.executable, num_threads=2, isa=isa).run(*batch) for isa in ISAS]


def assert_they_agree(exact: Path, artifact: Path, batch: tuple[Array, Array]) -> None:
    """The results of ``artifact`` on all instruction sets, given what fp32 computes."""
    fp32 = run_everywhere(exact, batch)
    found = fp32 if artifact == exact else run_everywhere(artifact, batch)
    for one, other in itertools.combinations(found, 2):
        for name, expected in one.items():
            bound = FP32_SQNR_DB
            if artifact != exact:
                bound = fidelity.sqnr_db(fp32[0][name], found[0][name]) - INDEPENDENT_DB
            assert fidelity.sqnr_db(expected, other[name]) >= bound, name


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8", "fours"])
@pytest.mark.parametrize("head", HEADS)
def test_tiny_models_agree(artifacts: Artifacts, head: str, dtype: str) -> None:
    options = {"max_position_embeddings": 512, **HEADS[head]}
    exact, artifact = (artifacts.tiny(each, head, **options) for each in ("fp32", dtype))
    for seed in range(3):
        assert_they_agree(exact, artifact, random_batch(seed))


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8", "fours"])
def test_a_trained_model_agrees_on_sentences(artifacts: Artifacts, dtype: str) -> None:
    exact, artifact = (artifacts.real(MINILM, each) for each in ("fp32", dtype))
    inputs = bertc.load(artifact).tokenizer(sts_sentences()[::90]).packed
    assert_they_agree(exact, artifact, (inputs.inputs["input_ids"], inputs.cu_seqlens))


@pytest.mark.parametrize("isa", ISAS)
def test_the_environment_chooses(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch, isa: str) -> None:
    path = artifacts.tiny("int8", max_position_embeddings=512)
    monkeypatch.setenv("BERTC_ISA", isa)
    encoder = bertc.load(path)
    assert encoder.session.isa == isa
    batch = random_batch(2)
    expected = Session(open_artifact(path).executable, isa=isa).run(*batch)
    for name, found in encoder.session.run(*batch).items():
        assert np.array_equal(found, expected[name]), name


def test_an_argument_overrides_the_environment(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_artifact(artifacts.tiny("int8"))
    monkeypatch.setenv("BERTC_ISA", "scalar")
    assert Session(opened.executable, isa=ISAS[-1]).isa == ISAS[-1]


@pytest.mark.parametrize("value", [None, ""])
def test_the_best_one_is_the_default(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    path = artifacts.tiny("int8")
    monkeypatch.delenv("BERTC_ISA", raising=False)
    if value is not None:
        monkeypatch.setenv("BERTC_ISA", value)
    assert bertc.load(path).session.isa == ISAS[-1]


@pytest.mark.parametrize("name", ["avx1024", "AVX2", "sse", " "])
def test_an_unknown_name_is_refused(artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = artifacts.tiny("int8")
    monkeypatch.setenv("BERTC_ISA", name)
    with pytest.raises(bertc.InputError, match=f"'{name}' is unknown .* choose one of scalar"):
        bertc.load(path)
