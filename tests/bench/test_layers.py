from __future__ import annotations

import json

import numpy as np
import pytest

from bertc.artifact.reader import open_artifact
from bertc.bench import layers
from bertc.bench.layers import LayerBench
from bertc.bench.peaks import Peaks
from bertc.errors import InputError
from bertc.runtime.batching import PackedBatch
from bertc.runtime.session import ATTENTION_PARTS, Session
from tests.bench.fakes import bert_operations
from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_checkpoint

pytestmark = pytest.mark.native

ISAS = ("scalar", "avx2", "avx_vnni", "avx512_vnni", "avx512_bf16")
PEAKS = Peaks(2, {isa: {"fp32": 1.0, "bf16": 2.0, "int8": 4.0} for isa in ISAS}, 20.0)


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "LEAST_RUNS", 2)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize(("batch", "schedule"), [(1, "latency"), (40, "throughput")])
def test_the_times_add_up_and_so_do_the_operations(
    artifact: MakeArtifact, dtype: str, batch: int, schedule: str
) -> None:
    bench = LayerBench(artifact("embedding", dtype), threads=2, peaks=PEAKS)
    row = json.loads(json.dumps(bench.measure(batch, 24, seconds=0.0)))
    assert (row["threads"], row["schedule"]) == (2, schedule)
    assert sum(each["percent_of_time"] for each in row["kernels"]) == pytest.approx(100)
    assert sum(each["ms"] for each in row["kernels"]) == pytest.approx(row["wall_ms"])
    done = sum(each["gops"] * each["ms"] * 1e6 for each in row["kernels"] if each["gops"])
    info = open_artifact(artifact("embedding", dtype)).manifest.model
    assert done == pytest.approx(bert_operations(info, [24] * batch))
    kernels = {each["kernel"] for each in row["kernels"]}
    attention = {"attention: Q x K", "attention: P x V", "attention: packing", "softmax"}
    assert attention < kernels
    assert {"GEMM", "GELU", "layer norm", "embedding", "pooling", layers.IDLE} < kernels
    assert ("quantize" in kernels) == (dtype != "fp32")


def test_the_steps_add_up_to_their_kernels(artifact: MakeArtifact) -> None:
    row = LayerBench(artifact("embedding", "int8"), threads=1, peaks=None).measure(2, 8, seconds=0.0)
    for kernel in row["kernels"]:
        steps = [each["ms"] for each in row["steps"] if each["kernel"] == kernel["kernel"]]
        if steps:
            assert sum(steps) == pytest.approx(kernel["ms"])
    assert all(each["percent_of_peak"] is None for each in row["kernels"])
    names = [each["step"] for each in row["steps"]]
    assert "encoder.layer.*.attention.self.qkv" in names
    assert not any(name.startswith("pooler") for name in names)  # no part of a sentence embedding


def test_shares_are_of_the_limits(artifact: MakeArtifact) -> None:
    bench = LayerBench(artifact(), threads=1, peaks=PEAKS)
    row = bench.measure(2, 8, seconds=0.0)
    gemm = next(each for each in row["kernels"] if each["kernel"] == "GEMM")
    assert gemm["percent_of_peak"] == pytest.approx(100 * gemm["gops"] / 1.0)
    assert gemm["percent_of_bandwidth"] == pytest.approx(100 * gemm["gb_per_second"] / 20.0)


def test_too_long_a_shape_is_refused(artifact: MakeArtifact) -> None:
    with pytest.raises(InputError, match="64"):
        LayerBench(artifact(), threads=1, peaks=None).measure(1, 65, seconds=0.0)


def test_profiling_tells_of_the_steps_that_ran_and_changes_no_result(artifact: MakeArtifact) -> None:
    file = open_artifact(artifact("embedding", "int8"))
    session = Session(file.executable, num_threads=2)
    ids, cu_seqlens = np.arange(48, dtype=np.int32), np.array([0, 20, 48], np.int32)
    packed = PackedBatch({"input_ids": ids}, cu_seqlens)
    before = session.run(ids, cu_seqlens)
    profile = session.profile(packed, outputs=["sentence_embedding"])
    steps = file.manifest.program.steps
    assert profile.step_ns.shape == (2, len(steps) + 1)
    ran = profile.step_ns.sum(axis=0) > 0
    assert ran[-1] and [bool(flag) for flag in ran[:-1]] == [
        not step.name.startswith("pooler") for step in steps
    ]
    assert profile.step_ns.sum(axis=1).max() <= profile.wall_ns
    assert not profile.attention_ticks.any()
    inside = session.profile(packed, inside_attention=True)
    ticks = dict(zip(ATTENTION_PARTS, inside.attention_ticks, strict=True))
    assert {name for name, each in ticks.items() if not each} == {"distances"}
    after = session.run(ids, cu_seqlens)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_vocabulary_is_multiplied_for_the_selected_token_of_each_sequence(artifacts: Artifacts) -> None:
    source = artifacts.derived("layers-lm", lambda path: save_checkpoint(path, "BertForMaskedLM"))
    bench = LayerBench(artifacts.compile(source, "fp32"), threads=1, peaks=None)
    row = bench.measure(2, 8, seconds=0.0)
    steps = {(each["step"], each["kernel"]): each for each in row["steps"]}
    assert any(kernel == "selecting tokens" for _, kernel in steps)
    decoder = steps["cls.predictions.decoder", "GEMM"]
    assert decoder["gops"] * decoder["ms"] * 1e6 == pytest.approx(2 * 2 * 32 * 300)
