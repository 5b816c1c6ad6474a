"""The scores that the project promises, on all of the public data, by the evaluator that users have.

They need the trained checkpoints and data sets of ``BERTC_SHARED`` and skip without them.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

import bertc
from bertc import fidelity
from bertc.evaluation import classification, ner, question_answering, sts
from bertc.evaluation.result import Result
from bertc.runtime.tokenization import TokenCounts
from tests.support.artifacts import Artifacts, best_isa
from tests.support.real_data import MINILM, assemble_checkpoint, shared_path, sts_sentences

Array = np.ndarray[Any, Any]

SST2 = "sst2-minilm-l6"
NER = "ner-zh-small"
QA = "qa-minilm-l6"
CROSS_ENCODER = "ce-minilm-l6"


@pytest.fixture(scope="module")
def embeddings(artifacts: Artifacts) -> Any:
    """``embeddings(dtype)``: of the 2758 sentences of the STS benchmark's test split, unsorted."""

    @cache
    def embed(dtype: str) -> Array:
        return np.asarray(bertc.load(artifacts.real(MINILM, dtype)).encode(sts_sentences()))

    return embed


class Replay:
    """An engine whose vectors are there already: a sentence is embedded once in this module."""

    def __init__(self, vectors: Array) -> None:
        self._vectors = vectors

    def encode(self, inputs: Any) -> Array:
        assert inputs == sts_sentences()
        return self._vectors


@pytest.mark.native
@pytest.mark.whole_data
@pytest.mark.parametrize(
    ("dtype", "lowest", "highest"), [("fp32", 82.02, 82.04), ("bf16", 82.0, 82.1), ("int8", 81.85, 82.1)]
)
def test_sentence_similarity(embeddings: Any, dtype: str, lowest: float, highest: float) -> None:
    result = sts.evaluate(Replay(embeddings(dtype)), shared_path("data/stsbenchmark/sts-test.csv"))
    assert lowest <= result.metrics["spearman"] <= highest
    assert result.counts["pairs"] == 1379


def test_sentence_similarity_counts_every_token(artifacts: Artifacts) -> None:
    counts = bertc.load(artifacts.real(MINILM, "int8")).count_tokens(sts_sentences())
    assert (counts.tokens, counts.truncated) == (39_028, 0)


@pytest.mark.native
@pytest.mark.whole_data
@pytest.mark.parametrize(
    ("dtype", "mean", "worst"), [("bf16", 0.9999, 0.999), ("int8", 0.9997, 0.998), ("fours", 0.9996, 0.998)]
)
def test_embeddings_are_close_to_those_of_fp32(
    embeddings: Any, dtype: str, mean: float, worst: float
) -> None:
    cosines = fidelity.cosine(embeddings("fp32"), embeddings(dtype))
    assert len(cosines) == 2758
    assert cosines.mean() >= mean
    assert cosines.min() >= worst


def classify_sst2(artifacts: Artifacts, dtype: str) -> Result:
    model = bertc.load(artifacts.real(SST2, dtype))
    return classification.evaluate(model, shared_path("data/sst2/dev.tsv"), model.info.labels)


@pytest.mark.native
@pytest.mark.whole_data
def test_sentence_classification(artifacts: Artifacts) -> None:
    fp32 = classify_sst2(artifacts, "fp32")
    assert fp32.counts == {"samples": 872, "tokens": 22_213, "truncated": 0}
    assert round(fp32.metrics["accuracy"] * 872 / 100, 6) == 783
    int8 = classify_sst2(artifacts, "int8")
    assert int8.counts == fp32.counts
    # Three labels, as many as may differ at all (``test_hard_cases``). The goal is two, 0.23 points, which
    # all instruction sets but avx512_vnni keep: its file loses the three that differ.
    assert abs(int8.metrics["accuracy"] - fp32.metrics["accuracy"]) <= 100 * 3.5 / 872


def test_pairs_are_scored(artifacts: Artifacts) -> None:
    pairs = sts.read(shared_path("data/stsbenchmark/sts-test.csv"))
    source = artifacts.derived(CROSS_ENCODER, lambda path: assemble_checkpoint(CROSS_ENCODER, path))
    with best_isa():
        model = bertc.load(artifacts.compile(source, "fp32"))
    inputs = [(pair.first, pair.second) for pair in pairs]
    assert model.count_tokens(inputs) == TokenCounts(37_649, 0)
    gold = [pair.score for pair in pairs]
    logits, scores = model.predict(inputs, activation_fn="none"), model.predict(inputs)
    assert round(100 * stats.spearmanr(logits, gold).statistic, 2) == 82.01
    assert round(100 * stats.pearsonr(scores, gold).statistic, 2) == 82.93


def test_named_entities(artifacts: Artifacts) -> None:
    data = shared_path("data/peoples_daily/test.txt")
    model = bertc.load(artifacts.real(NER, "fp32"))
    fp32 = ner.evaluate(model, data, model.info.labels)
    assert fp32.counts["samples"] == 4636
    assert fp32.counts["words"] == 219_197
    assert fp32.counts["entities"] == 7707
    assert round(fp32.metrics["f1"], 2) == 60.74
    assert round(fp32.metrics["accuracy"], 2) == 95.79
    int8 = ner.evaluate(bertc.load(artifacts.real(NER, "int8")), data, model.info.labels)
    assert int8.counts == fp32.counts
    assert abs(int8.metrics["f1"] - fp32.metrics["f1"]) <= 0.2
    assert abs(int8.metrics["accuracy"] - fp32.metrics["accuracy"]) <= 0.02


def test_answers_to_questions(artifacts: Artifacts) -> None:
    articles = json.loads(shared_path("data/xquad/xquad.en.json").read_text("utf-8"))["data"]
    data = artifacts.derived("xquad.json", lambda path: path.write_text(json.dumps({"data": articles[36:]})))
    source = artifacts.derived(QA, lambda path: assemble_checkpoint(QA, path))

    def score(dtype: str) -> Result:
        with best_isa():
            model = bertc.load(artifacts.compile(source, dtype))
        return question_answering.evaluate(model, data)

    fp32 = score("fp32")
    assert fp32.counts == {"samples": 265, "unanswerable": 0, "tokens": 45_799, "truncated": 0}
    assert round(fp32.metrics["exact_match"], 2) == 23.77
    assert round(fp32.metrics["f1"], 2) == 37.95
    int8 = score("int8")
    assert int8.counts == fp32.counts
    assert abs(int8.metrics["f1"] - fp32.metrics["f1"]) <= 1


def test_files_are_small(artifacts: Artifacts) -> None:
    sizes = {dtype: artifacts.real(MINILM, dtype).stat().st_size / 1e6 for dtype in ("fp32", "bf16", "int8")}
    assert sizes["int8"] <= 24.2  # 24.0 and the vectors of first and last tokens, which halve the error
    assert sizes["bf16"] <= 47
    assert sizes["fp32"] <= 92
