"""Entities of tiny taggers of both families, equal to those of the ``transformers`` 5 pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.artifacts import Artifacts
from tests.support.multilingual import TEXTS
from tests.support.pipelines import FAMILIES, assert_close, pipeline_and_model, quiet_on_one_thread

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


@pytest.fixture(autouse=True)
def _quiet_on_one_thread() -> Iterator[None]:
    with quiet_on_one_thread():
        yield


def tagger(artifacts: Artifacts, family: str, **config: Any) -> tuple[Any, Any]:
    class_name = f"{family}ForTokenClassification"
    return pipeline_and_model(artifacts, "token-classification", class_name, TAGS, **config)


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", ["none", "simple", "first", "average", "max"])
@pytest.mark.parametrize("family", FAMILIES)
def test_tag_equals_the_pipeline(artifacts: Artifacts, family: str, strategy: str) -> None:
    theirs, model = tagger(artifacts, family, max_position_embeddings=1100)
    texts = [text for text in TEXTS if len(text.encode()) < 1000]  # the pipeline cuts what is longer
    expected = theirs(texts, aggregation_strategy=strategy)
    found = model.tag(texts, aggregation_strategy=strategy)
    assert_same_entities(found, expected, "entity" if strategy == "none" else "entity_group")
    assert sum(map(len, found)) > 200


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize(
    ("strategy", "stride"), [("simple", 0), ("simple", 16), ("first", 9), ("average", 20)]
)
@pytest.mark.parametrize("family", FAMILIES)
def test_stride_does_what_it_does_in_the_pipeline(
    artifacts: Artifacts, family: str, strategy: str, stride: int
) -> None:
    theirs, model = tagger(artifacts, family)
    options = {"aggregation_strategy": strategy, "stride": stride}
    texts = list(TEXTS)
    found, expected = model.tag(texts, **options), theirs(texts, **options)
    assert_same_entities(found, expected, "entity_group")


def assert_same_entities(found: Any, expected: Any, label: str) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        keys = (label, "word", "start", "end", *(("index",) if label == "entity" else ()))
        assert [[each[key] for key in keys] for each in ours] == [
            [each[key] for key in keys] for each in theirs
        ]
        assert_close([each["score"] for each in ours], [float(each["score"]) for each in theirs])
