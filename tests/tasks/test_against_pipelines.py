"""Answers of tiny models of both families, equal to those of the ``transformers`` 5 pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import bertc
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_with_tokenizer
from tests.support.multilingual import TEXTS

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
