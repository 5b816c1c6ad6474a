"""Tiny models and raw data of each kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import bertc
from bertc.encoder import Encoder
from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_checkpoint

LONG = " ".join(["the dog plays the piano in Paris"] * 20)
RAW = {
    "sts": "score\tsentence1\tsentence2\n5\tthe cat\tthe cat\n1\ta good film\tone two\n3\ta dog\tthe sea\n",
    "classify": f"label\tsentence\nnegative\ta bad film\npositive\ta good film\n0\t{LONG}\n",
    "pairs": "label\tsentence1\tsentence2\n1\tthe cat\tthe cat\n0\ta good film\tone two\n",
    "ner": "john B-PER\nsmith I-PER\nlives O\n\nin O\nParis B-LOC\n\n"
    + "".join(f"{word} O\n" for word in LONG.split())
    + "london B-LOC\n",
    "qa": json.dumps(
        {
            "data": [
                {
                    "paragraphs": [
                        {
                            "context": LONG,
                            "qas": [
                                {"id": "q1", "question": "who plays", "answers": [{"text": "the dog"}]},
                                {"id": "q2", "question": "where", "answers": [{"text": "Paris"}]},
                            ],
                        }
                    ]
                }
            ]
        }
    ),
    "rerank": "query\tdocument\tlabel\nwho\tthe cat\t1\nwho\ta dog\t0\nwhere\tParis\t1\nwhere\tone two\t0\n",
    "text": "a text\nanother text\n",
}
"""Kind of data -> a small file of it, with samples that are too long for one sequence."""
HEADS = {"sts": "embedding", "classify": "classification", "pairs": "classification", "text": "embedding"}


@pytest.fixture
def raw(tmp_path: Path) -> Callable[[str], Path]:
    def write(kind: str) -> Path:
        path = tmp_path / f"{kind}{'.json' if kind == 'qa' else '.txt' if kind == 'text' else '.tsv'}"
        path.write_text(RAW[kind])
        return path

    return write


@pytest.fixture
def model(artifact: MakeArtifact, artifacts: Artifacts) -> Callable[..., Encoder]:
    """``model(kind, dtype)``: a model for data of that kind."""

    def load(kind: str, dtype: str = "int8") -> Encoder:
        if kind == "qa":
            source = artifacts.derived(
                "answers", lambda path: save_checkpoint(path, "BertForQuestionAnswering")
            )
            return bertc.load(artifacts.compile(source, dtype))
        if kind == "rerank":
            source = artifacts.derived(
                "one-label",
                lambda path: save_checkpoint(path, "BertForSequenceClassification", num_labels=1),
            )
            return bertc.load(artifacts.compile(source, dtype))
        return bertc.load(artifact(HEADS.get(kind, "token_classification"), dtype))

    return load
