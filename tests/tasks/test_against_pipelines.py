"""Answers of tiny models of both families, equal to those of the ``transformers`` 5 pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import bertc
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_with_tokenizer
from tests.support.languages import TEXTS

pytestmark = pytest.mark.native

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOLERANCE = 1e-4
FAMILIES = ("Bert", "Roberta")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.fixture(autouse=True)
def _quiet_and_alone() -> Iterator[None]:
    """Say nothing, and take one thread: tiny models are no faster with more."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def checkpoint(artifacts: Artifacts) -> Any:
    """``checkpoint(class_name, labels, **config)``: a folder, and the model compiled in fp32."""

    @cache
    def make(class_name: str, labels: tuple[str, ...], **config: Any) -> tuple[Path, Any]:
        name = "-".join(["pipeline", class_name, *labels, *map(str, config.values())])
        names = {"id2label": dict(enumerate(labels)), "label2id": {v: i for i, v in enumerate(labels)}}
        config |= names
        folder = artifacts.derived(name, lambda path: save_with_tokenizer(path, class_name, **config))
        return folder, bertc.load(artifacts.compile(folder, "fp32"))

    return make


def pipeline(task: str, folder: Path, **options: Any) -> Any:
    return transformers.pipeline(task, model=str(folder), dtype=torch.float32, device="cpu", **options)


def assert_close(found: list[float], expected: list[float]) -> None:
    assert found == pytest.approx(expected, rel=0, abs=TOLERANCE)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tag_equals_the_pipeline(checkpoint: Any, family: str, strategy: str) -> None:
    folder, model = checkpoint(f"{family}ForTokenClassification", TAGS, max_position_embeddings=1100)
    expected = pipeline("token-classification", folder, aggregation_strategy=strategy)(list(TEXTS))
    found = model.tag(list(TEXTS), aggregation_strategy=strategy)
    assert_same_entities(TEXTS, found, expected, "entity" if strategy == "none" else "entity_group")
    assert sum(map(len, found)) > 200


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize(
    ("strategy", "stride"), [("simple", 0), ("simple", 16), ("first", 9), ("average", 20)]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_stride_does_what_it_does_in_the_pipeline(
    checkpoint: Any, family: str, strategy: str, stride: int
) -> None:
    folder, model = checkpoint(f"{family}ForTokenClassification", TAGS)
    options = {"aggregation_strategy": strategy, "stride": stride}
    texts = sorted(TEXTS, key=len)[::-3]
    found = model.tag(texts, **options)
    expected = pipeline("token-classification", folder, **options)(texts)
    assert_same_entities(texts, found, expected, "entity_group")


def assert_same_entities(texts: Sequence[str], found: Any, expected: Any, label: str) -> None:
    for text, ours, theirs in zip(texts, found, expected, strict=True):
        keys = (label, "start", "end", *(("index",) if label == "entity" else ()))
        assert [[each[key] for key in keys] for each in ours] == [
            [each[key] for key in keys] for each in theirs
        ]
        assert_close([each["score"] for each in ours], [float(each["score"]) for each in theirs])
        assert all(each["word"] == text[each["start"] : each["end"]] for each in ours)


KINDS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "three labels": (("neg", "pos", "other"), {}),
    "independent": (("a", "b", "c"), {"problem_type": "multi_label_classification"}),
    "one label": (("score",), {}),
    "regression": (("score",), {"problem_type": "regression"}),
}
PAIRS = list(pairwise(TEXTS[:12]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_classify_equals_the_pipeline(checkpoint: Any, family: str, kind: str) -> None:
    labels, config = KINDS[kind]
    folder, model = checkpoint(f"{family}ForSequenceClassification", labels, **config)
    expected = pipeline("text-classification", folder)
    with pytest.warns(UserWarning, match="more than 6[46]? tokens"):
        assert_same_labels(model.classify(list(TEXTS)), expected(list(TEXTS), truncation=True))
    dicts = [{"text": a, "text_pair": b} for a, b in PAIRS]
    for function in (None, "none", "sigmoid", "softmax"):
        options = {"function_to_apply": function, "top_k": None}
        wanted = expected(dicts, truncation=True, **options)
        for inputs in (PAIRS, [list(pair) for pair in PAIRS], dicts):
            for found, each in zip(model.classify(inputs, **options), wanted, strict=True):
                assert_same_labels(found, each)


def assert_same_labels(found: Any, expected: Any) -> None:
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    assert_close([each["score"] for each in found], [each["score"] for each in expected])


@pytest.mark.filterwarnings("ignore:a text has more than", "ignore:no label of this model begins")
@pytest.mark.parametrize(
    "names", [("contradiction", "neutral", "entailment"), ("ENTAILMENT", "not_entailment"), ("a", "b", "c")]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_candidate_labels_equal_the_pipeline(checkpoint: Any, family: str, names: tuple[str, ...]) -> None:
    folder, model = checkpoint(f"{family}ForSequenceClassification", names)
    expected = pipeline("zero-shot-classification", folder)
    texts = list(TEXTS[::3])
    for labels, options in (
        (["sport", "food", "money and work"], {}),
        ("sport, food", {"multi_label": True, "hypothesis_template": "{}: it is."}),
        ("sport", {}),
    ):
        found = model.classify(texts, labels, **options)
        for ours, theirs in zip(found, expected(texts, labels, **options), strict=True):
            assert (ours["sequence"], ours["labels"]) == (theirs["sequence"], theirs["labels"])
            assert_close(ours["scores"], theirs["scores"])
