"""Each peer that is installed gives what our fp32 file gives, on a tiny checkpoint."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import bertc
from bertc.bench.engine import Driver
from bertc.bench.peers import PEERS
from bertc.bench.process import EngineProcess, EngineSpec
from bertc.data import sample_texts
from bertc.fidelity import cosine
from tests.conftest import MakeArtifact

TEXTS = ["the cat", "a man playing the guitar in london", "", "one two three four five"]
LEAST = {"fp32": 0.999999, "bf16": 0.999, "int8": 0.98}
"""Cosine with our fp32. The weights are random and large, which is hard on few bits."""


@pytest.mark.parametrize(
    ("library", "dtype"), [(library, dtype) for library in PEERS for dtype in PEERS[library].dtypes]
)
def test_a_peer_runs_the_same_model(
    artifact: MakeArtifact, checkpoint: MakeArtifact, tmp_path: Path, library: str, dtype: str
) -> None:
    missing = [name for name in PEERS[library].packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f'{missing[0]} is not installed: pip install "bertc[bench]"')
    texts = tuple(sample_texts())
    spec = EngineSpec(library, dtype, library, artifact(), checkpoint(), tmp_path, texts, threads=1)
    engine = EngineProcess(spec, TEXTS)
    try:
        expected = np.asarray(bertc.load(artifact()).encode(TEXTS))
        similarity = cosine(engine.ask(Driver.encode, TEXTS), expected)
        assert similarity.mean() > LEAST[dtype]
        assert engine.ask(Driver.run_shape, 2, 8, 1).unit_ms > 0
        assert engine.ask(Driver.run_texts, "sorted", 1).kernel_ms > 0
        facts = engine.facts()
        assert (facts.library, facts.dtype) == (library, dtype) and facts.version
    finally:
        engine.close()
