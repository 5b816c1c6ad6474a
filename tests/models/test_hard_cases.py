"""Models that are hard to quantize, compiled as users compile them: a trained one, and tiny ones.

The trained checkpoint and its data are in ``BERTC_SHARED``; without them its tests are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from benchmarks.hard_cases import plant_outliers, random_channels
from bertc.artifact.reader import open_artifact
from bertc.evaluation import classification
from tests.support import fidelity
from tests.support.artifacts import Artifacts, best_isa
from tests.support.real_data import shared_path
from tests.support.tiny_models import (
    DEFAULT_CONFIG,
    LABELS,
    bert_tensors,
    make_bert_checkpoint,
    packed_inputs,
    write_weights,
)

Array = np.ndarray[Any, Any]

SST2 = "sst2-minilm-l6"
PLANTED = [(20.0, 0), (-60.0, 1), (200.0, 2)]
"""What is added, and the seed of the two channels that it is added to."""


class Planted:
    """The trained classifier with outliers: files that the best instruction set compiled, and answers."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self.plain = artifacts.real(SST2, "fp32")
        labels = bertc.load(self.plain).info.labels
        self.texts: list[Any] = [
            each.text for each in classification.read(shared_path("data/sst2/dev.tsv"), labels)
        ]
        self.logits = cache(self._logits)

    def checkpoint(self, size: float, seed: int) -> Path:
        channels = random_channels(seed, bertc.load(self.plain).info.size("hidden_size"))
        source = shared_path(f"models/{SST2}")
        return self._artifacts.derived(
            f"planted{size}-{seed}", lambda path: plant_outliers(source, path, size, channels)
        )

    def compile(self, size: float, seed: int, recipe: str) -> Path:
        with best_isa():
            return self._artifacts.compile(self.checkpoint(size, seed), recipe)

    def _logits(self, path: Path) -> Array:
        model = bertc.load(path)
        inputs = model.tokenizer(self.texts).packed
        return np.asarray(model.session.run_batch(inputs)["logits"])

    def agreement(self, path: Path) -> float:
        """The share of labels that are those of the fp32 model without outliers."""
        return float((self.logits(path).argmax(1) == self.logits(self.plain).argmax(1)).mean())


@pytest.fixture(scope="session")
def planted(artifacts: Artifacts) -> Planted:
    """Skips the test where there is no trained checkpoint."""
    return Planted(artifacts)


def test_planted_outliers_keep_the_function(planted: Planted) -> None:
    exact = planted.logits(planted.plain)
    found = planted.logits(planted.compile(*PLANTED[-1], "fp32"))
    assert np.abs(found - exact).max() <= 2e-4


def test_the_labels_of_a_trained_model_survive_8_bits(planted: Planted, artifacts: Artifacts) -> None:
    """Which labels flip is chance; it has no part in the error of the margin: nearest has 35.4 dB."""
    path = artifacts.real(SST2, "int8")
    assert planted.agreement(path) >= 0.9965
    exact, found = (logits[:, 1:] - logits[:, :1] for logits in map(planted.logits, (planted.plain, path)))
    assert fidelity.sqnr_db(exact, found) > 36.2


@pytest.mark.parametrize(("size", "seed"), PLANTED)
def test_labels_survive_outliers(planted: Planted, size: float, seed: int) -> None:
    path = planted.compile(size, seed, "default")
    assert planted.agreement(path) >= 0.99
    certificate = open_artifact(path).certificate
    (note,) = [note for note in certificate.notes if "outlier channels" in note]
    # 13 layer norms have them, and some of the inputs behind GELU, which are not changed.
    assert re.search(r"^1\d of 25 inputs .* scaled and shifted in 1[3-9] of them$", note), note
    assert "migrate their scales" in certificate.methods["smoothing"]
    ranges = [edge for edge in certificate.edges if edge.name.endswith("LayerNorm")]
    assert len(ranges) == 12
    for edge in ranges:
        assert edge.largest_shift == pytest.approx(abs(size), rel=0.1)
        assert edge.gain_db > 6


def test_rounding_to_nearest_loses_labels(planted: Planted) -> None:
    """What the default recipe is held to is not to be had without it."""
    assert planted.agreement(planted.compile(*PLANTED[-1], "round-to-nearest")) < 0.96


def tiny_classifier(folder: Path, changes: Mapping[str, Any]) -> Path:
    """A tiny checkpoint in which some tensors (by their names behind ``bert.``) are one number."""
    path = make_bert_checkpoint(folder, "classification")
    tensors = bert_tensors({**DEFAULT_CONFIG, "id2label": LABELS["classification"]}, "classification")
    for name, value in changes.items():
        tensors[f"bert.{name}"] = np.full_like(tensors[f"bert.{name}"], value)
    write_weights(path, tensors)
    return path


TABLES = [f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")]


@pytest.mark.native
@pytest.mark.parametrize("recipe", ["default", "avx2", "vendor-static"])
@pytest.mark.parametrize(
    "changes",
    [
        dict.fromkeys(TABLES, 0.5),
        {**dict.fromkeys(TABLES, 0.0), "embeddings.LayerNorm.bias": 0.0},
        {"encoder.layer.0.intermediate.dense.bias": -100.0},
        {"encoder.layer.0.attention.self.value.weight": 0.0, "encoder.layer.1.output.dense.weight": 0.0},
    ],
    ids=["constant rows", "zero rows", "dead GELU", "zero weights"],
)
def test_zeros_and_constants_compile(tmp_path: Path, recipe: str, changes: Mapping[str, Any]) -> None:
    source = tiny_classifier(tmp_path / "source", changes)
    exact, found = (bertc.compile(source, tmp_path / f"{each}.bertc", each) for each in ("fp32", recipe))
    assert found.certificate.logits is not None
    assert found.certificate.logits.mean_kl < 1e-2
    texts = ["the man", "a dog is playing the guitar in paris"]
    scores = [bertc.load(each.path).classify(texts, top_k=None) for each in (exact, found)]
    for expected, answer in zip(*scores, strict=True):
        (one,), (other,) = (
            [each["score"] for each in row if each["label"] == "positive"] for row in (expected, answer)
        )
        assert abs(one - other) < 0.1


@pytest.mark.native
def test_one_token_calibrates_with_a_warning_and_a_note(tmp_path: Path) -> None:
    """And costs no more than calibrating nothing."""
    source = make_bert_checkpoint(tmp_path / "source", "classification")
    np.save(tmp_path / "one.npy", np.array([[2]]))
    # Weights as free as those it is compared with.
    recipe = {"calibration": {"data": str(tmp_path / "one.npy")}, "weights": {"bound": "none"}}
    with pytest.warns(UserWarning, match=r"few calibration samples \(1\) in .*one.npy"):
        found = bertc.compile(source, tmp_path / "one.bertc", recipe)
    certificate = found.certificate
    assert certificate.calibration is not None and certificate.calibration.tokens == 1
    (note,) = [
        each
        for each in certificate.notes
        if each.startswith("calibrated on few samples (1 of 1 tokens together)")
    ]
    assert "may fit little else" in note
    plain = bertc.compile(source, tmp_path / "plain.bertc", "round-to-nearest")
    assert not plain.certificate.notes
    inputs = packed_inputs([20] * 24, seed=9)
    exact = bertc.compile(source, tmp_path / "exact.bertc", "fp32")
    logits = [
        bertc.load(each.path).session.run(inputs["input_ids"], inputs["cu_seqlens"])["logits"]
        for each in (exact, found, plain)
    ]
    assert fidelity.sqnr_db(logits[0], logits[1]) > fidelity.sqnr_db(logits[0], logits[2]) - 2
