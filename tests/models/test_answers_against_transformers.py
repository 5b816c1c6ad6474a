"""What users ask of compiled fp32 models, against ``transformers``: its tokenizers, pooling, pipelines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from tests.support.artifacts import Artifacts
from tests.support.real_data import MINILM, real_checkpoint, shared_path, sts_sentences
from tests.support.tiny_models import write_json
from tests.support.transformers_model import load_transformers

pytestmark = pytest.mark.native

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

Array = np.ndarray[Any, Any]

TOLERANCE = 2e-5
SCORE_TOLERANCE = 1e-4
SST2 = "sst2-minilm-l6"
NER = "ner-zh-small"
POOLING = ("cls", "mean", "max", "pooler")
ODD_TEXTS = [
    "",
    " \t\n",
    "a",
    "Ünïcödé ÀÉÎ naïve façade",
    "emoji \U0001f600\U0001f680 and 北京 日本語 한국어",
    "[MASK] [SEP] and other names of special tokens [CLS]",
    "punctuation!?... -- (a) [b] {c} <d> \"e\" 'f' $5.00 100% a_b @ # ^ & * ~ `",
    "word" * 60,
    "longer than the limit of every model " * 90,
]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def sentence_vectors(
    checkpoint: Path, texts: Sequence[Any], pooling: str, normalize: bool, limit: int
) -> Array:
    """What sentence-transformers computes: tokenize, truncate, run a padded batch, pool, normalize."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    inputs = tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
    with torch.no_grad():
        result = load_transformers(checkpoint)(**inputs)
    hidden = result.last_hidden_state.numpy()
    mask = inputs["attention_mask"].numpy()[:, :, None]
    vectors = {
        "cls": lambda: hidden[:, 0],
        "mean": lambda: (hidden * mask).sum(axis=1) / mask.sum(axis=1),
        "max": lambda: np.where(mask == 0, -np.inf, hidden).max(axis=1),
        "pooler": lambda: result.pooler_output.numpy(),
    }[pooling]()
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True) if normalize else vectors)


def largest_difference(found: Any, expected: Array) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max())


@pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")
def test_minilm_embeds_as_sentence_transformers_does(artifacts: Artifacts) -> None:
    encoder = bertc.load(artifacts.real(MINILM, "fp32"))
    texts = [*sts_sentences()[::115], *ODD_TEXTS]
    expected = sentence_vectors(real_checkpoint(MINILM), texts, "mean", True, limit=256)
    assert largest_difference(encoder.encode(texts), expected) <= TOLERANCE
    pairs = list(itertools.pairwise(texts))[:8]
    expected = sentence_vectors(real_checkpoint(MINILM), pairs, "mean", True, limit=256)
    assert largest_difference(encoder.encode(pairs), expected) <= TOLERANCE


@pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("pooling", POOLING)
def test_every_pooling_with_and_without_normalize(
    artifacts: Artifacts, pooling: str, normalize: bool, tmp_path: Path
) -> None:
    checkpoint = artifacts.tiny_checkpoint(pooling="mean", normalize=normalize, max_seq_length=40, seed=7)
    with_pooling = tmp_path / f"{checkpoint.name}-{pooling}"
    with_pooling.mkdir()
    for file in checkpoint.rglob("*"):
        if file.is_file():
            copy = with_pooling / file.relative_to(checkpoint)
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(file.read_bytes())
    write_json(with_pooling / "1_Pooling" / "config.json", {"pooling_mode": pooling})
    encoder = bertc.load(artifacts.compile(with_pooling, "fp32"))
    texts = [*ODD_TEXTS, "the man plays guitar", "one two three four five " * 12]
    expected = sentence_vectors(checkpoint, texts, pooling, normalize, limit=40)
    assert largest_difference(encoder.encode(texts), expected) <= TOLERANCE


def test_options_of_encode_on_a_trained_model(artifacts: Artifacts) -> None:
    encoder = bertc.load(artifacts.real(MINILM, "fp32"))
    texts = sts_sentences()[:5]
    whole = np.asarray(encoder.encode(texts))
    assert np.array_equal(encoder.encode(texts, truncate_dim=100), whole[:, :100])
    short = np.asarray(encoder.encode(texts, truncate_dim=100, normalize_embeddings=True))
    assert np.allclose(np.linalg.norm(short, axis=1), 1, atol=1e-6)
    assert largest_difference(short, whole[:, :100] / np.linalg.norm(whole[:, :100], axis=1)[:, None]) < 1e-6
    separate = encoder.encode(texts, convert_to_numpy=False)
    assert isinstance(separate, list) and np.array_equal(separate, whole)


def sst2_sentences() -> list[str]:
    lines = shared_path("data/sst2/dev.tsv").read_text("utf-8").splitlines()[1:]
    return [line.split("\t")[1] for line in lines]


@pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")
def test_classify_equals_the_pipeline(artifacts: Artifacts) -> None:
    model = bertc.load(artifacts.real(SST2, "fp32"))
    pipeline = transformers.pipeline(
        "text-classification", model=str(real_checkpoint(SST2)), dtype=torch.float32, device="cpu"
    )
    texts = [*sst2_sentences()[::60], *ODD_TEXTS]
    options = {"truncation": True, "max_length": model.info.max_seq_length}
    assert_same_labels(model.classify(texts), pipeline(texts, **options))
    every = pipeline(texts, top_k=None, **options)
    for found, expected in zip(model.classify(texts, top_k=None), every, strict=True):
        assert_same_labels(found, expected)
    pairs = list(itertools.pairwise(texts[:9]))
    expected = pipeline([{"text": a, "text_pair": b} for a, b in pairs])
    assert_same_labels(model.classify(pairs), expected)


def assert_same_labels(found: Any, expected: Any) -> None:
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    assert_close_scores(found, expected)


def assert_close_scores(found: Any, expected: Any) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert math.isclose(ours["score"], theirs["score"], rel_tol=0, abs_tol=SCORE_TOLERANCE), (
            ours,
            theirs,
        )


def chinese_sentences() -> list[list[str]]:
    blocks = shared_path("data/peoples_daily/test.txt").read_text("utf-8").split("\n\n")
    return [[line.split()[0] for line in block.splitlines()] for block in blocks if block.strip()]


@pytest.mark.parametrize("strategy", ["simple", "none"])
def test_tag_equals_the_pipeline(artifacts: Artifacts, strategy: str) -> None:
    model = bertc.load(artifacts.real(NER, "fp32"))
    pipeline = transformers.pipeline(
        "token-classification",
        model=str(real_checkpoint(NER)),
        aggregation_strategy=strategy,
        dtype=torch.float32,
        device="cpu",
    )
    words = [words for words in chinese_sentences()[::180] if len(words) < 400]
    texts = ["".join(words) for words in words] + ["北京 John Smith 1999年 在 Nokia 公司", "", "a"]
    entities = 0
    answers = model.tag(texts, aggregation_strategy=strategy)
    keys = ("word", "start", "end", "entity" if strategy == "none" else "entity_group")
    for text, found, expected in zip(texts, answers, pipeline(texts), strict=True):
        assert [[each[key] for key in keys] for each in found] == [
            [each[key] for key in keys] for each in expected
        ], text
        assert_close_scores(found, expected)
        entities += len(found)
    assert entities > 20


def test_words_are_tagged_as_transformers_tags_their_first_tokens(artifacts: Artifacts) -> None:
    model = bertc.load(artifacts.real(NER, "fp32"))
    sentences = [words for words in chinese_sentences()[::300] if len(words) <= 510]
    tokenizer = transformers.AutoTokenizer.from_pretrained(real_checkpoint(NER))
    reference = load_transformers(real_checkpoint(NER), "token_classification")
    for words, found in zip(sentences, model.predict_tags(sentences), strict=True):
        inputs = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.no_grad():
            best = reference(**inputs).logits[0].argmax(dim=-1).tolist()
        owners = inputs.word_ids()
        expected = [reference.config.id2label[best[owners.index(i)]] for i in range(len(words))]
        assert found == expected
