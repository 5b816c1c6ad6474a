from __future__ import annotations

import json
from pathlib import Path

import pytest

import bertc
from tests.cli.conftest import Run
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_checkpoint

CONTEXT = "The dog plays the piano, and the cat is in London. " * 3
QUESTIONS = {"who plays": "dog", "where is the cat": "London", "what": "the piano", "how many": ""}


@pytest.fixture(scope="module")
def checkpoint(artifacts: Artifacts) -> Path:
    return artifacts.derived("answers", lambda path: save_checkpoint(path, "BertForQuestionAnswering"))


def write_squad(path: Path) -> Path:
    qas = [
        {"question": question, "answers": [{"text": answer}] if answer else []}
        for question, answer in QUESTIONS.items()
    ]
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": CONTEXT, "qas": qas}]}]}))
    return path


def test_eval_qa(run: Run, artifacts: Artifacts, checkpoint: Path, tmp_path: Path) -> None:
    data = write_squad(tmp_path / "dev.json")
    result = run.json("eval", "qa", artifacts.compile(checkpoint, "fp32"), "--data", data)
    assert set(result["metrics"]) == {
        f"{kind}{name}" for kind in ("", "answerable_", "unanswerable_") for name in ("exact_match", "f1")
    }
    assert result["counts"]["samples"] == 4 and result["counts"]["unanswerable"] == 1


def test_a_budget_holds_the_f1_of_answers(checkpoint: Path, tmp_path: Path) -> None:
    data = write_squad(tmp_path / "dev.json")
    recipe = {"dtype": "int8", "budget": {"metric": "answer_f1", "max_drop": 0.001, "eval_data": str(data)}}
    certificate = bertc.compile(checkpoint, tmp_path / "x.bertc", recipe).certificate
    assert certificate.task is not None and certificate.task.evaluator == "question_answering"
    assert certificate.task.fp32["f1"] - certificate.task.compiled["f1"] <= 0.1
    assert certificate.budget is not None and certificate.budget.metric == "answer_f1"
