"""The kinds of evaluation that rank, fill in and match, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_checkpoint

TEXTS = ["the cat", "a good film", "one two", "the dog plays the piano"]


@pytest.fixture(scope="module")
def cross_encoder(artifacts: Artifacts) -> Path:
    source = artifacts.derived(
        "one-label", lambda path: save_checkpoint(path, "BertForSequenceClassification", num_labels=1)
    )
    return artifacts.compile(source, "fp32")


@pytest.fixture(scope="module")
def mask_filler(artifacts: Artifacts) -> Path:
    source = artifacts.derived("masked", lambda path: save_checkpoint(path, "BertForMaskedLM"))
    return artifacts.compile(source, "fp32")


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    for name, prefix in (("queries", "q"), ("corpus", "d")):
        rows = [json.dumps({"id": f"{prefix}{index}", "text": text}) for index, text in enumerate(TEXTS)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(rows))
    (tmp_path / "qrels.txt").write_text("".join(f"q{index} 0 d{index} 1\n" for index in range(4)))
    return tmp_path


def test_eval_rerank_by_an_embedder(run: Run, artifact: MakeArtifact, collection: Path) -> None:
    model = artifact()
    result = run.json("eval", "rerank", model, "--data", collection, "--depth", 3)
    # Every query is its own document, word for word.
    assert result["metrics"] == pytest.approx({"map": 100, "mrr@3": 100, "ndcg@3": 100})
    assert result["counts"] == {
        "samples": 4,
        "documents": 4,
        "ranked": 16,
        "relevant": 4,
        "tokens": result["counts"]["tokens"],
        "truncated": 0,
    }


def test_eval_rerank_in_two_stages(
    run: Run, artifact: MakeArtifact, cross_encoder: Path, collection: Path
) -> None:
    arguments = [
        "eval",
        "rerank",
        cross_encoder,
        "--data",
        collection,
        "--first-stage",
        artifact(),
        "--top-k",
        2,
    ]
    result = run.json(*arguments, "--reference", cross_encoder)
    assert result["counts"]["ranked"] == 8 and result["facts"] == {"first stage": "the best 2"}
    assert result["comparison"]["disagreements"] == 0
    assert result["metrics"]["mrr@10"] >= 50


def test_eval_pairs(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    data = tmp_path / "pairs.csv"
    data.write_text("label,sentence1,sentence2\n1,the cat,the cat\n0,the cat,one two\n")
    result = run.json("eval", "pairs", artifact(), "--data", data)
    assert result["metrics"]["accuracy"] == result["metrics"]["average_precision"] == 100
    given = run.json("eval", "pairs", artifact(), "--data", data, "--threshold", 2, "--positive-from", 1)
    assert given["metrics"]["accuracy"] == 50 and given["facts"]["threshold"] == "2.0000, given"


def test_eval_fill_mask(run: Run, mask_filler: Path, tmp_path: Path) -> None:
    data, page = tmp_path / "texts.txt", tmp_path / "page.html"
    data.write_text("\n".join(TEXTS))
    result = run.json("eval", "fill-mask", mask_filler, "--data", data)
    assert set(result["metrics"]) == {"pseudo_perplexity", "accuracy"} and result["counts"]["masked"] == 4
    every = run.json("eval", "fill-mask", mask_filler, "--data", data, "--every-token", "--report", page)
    assert every["counts"]["masked"] > 10 and every["metrics"]["pseudo_perplexity"] > 1
    assert "every token alone" in page.read_text()


@pytest.mark.parametrize(
    ("kind", "head"), [("rerank", "token_classification"), ("fill-mask", "embedding"), ("qa", "embedding")]
)
def test_eval_by_a_model_for_something_else_fails(
    run: Run, artifact: MakeArtifact, collection: Path, kind: str, head: str
) -> None:
    squad = {"data": [{"paragraphs": [{"context": "a", "qas": [{"question": "b", "answers": []}]}]}]}
    (collection / "dev.json").write_text(json.dumps(squad))
    data = {"rerank": collection, "fill-mask": collection / "corpus.jsonl", "qa": collection / "dev.json"}[
        kind
    ]
    outcome = run("eval", kind, artifact(head), "--data", data)
    assert outcome.code == 1 and outcome.err.startswith("bertc: error: ") and outcome.err.count("\n") == 1


def test_eval_beside_outputs_that_another_tool_wrote(
    run: Run, artifact: MakeArtifact, tmp_path: Path
) -> None:
    data, outputs = tmp_path / "dev.tsv", tmp_path / "outputs"
    data.write_text("label\tsentence\n" + "".join(f"1\t{text}\n" for text in TEXTS))
    outputs.mkdir()
    for index in range(len(TEXTS)):
        np.array([0, 1], np.float32).tofile(outputs / f"{index}_0.bin")
    arguments = ["eval", "classify", artifact("classification"), "--data", data, "--reference", outputs]
    comparison = run.json(*arguments)["comparison"]
    assert comparison["reference"]["metrics"]["accuracy"] == 100
    assert comparison["reference"]["counts"] == {"samples": 4}


def test_eval_of_several_recipes_beside_one_reference(
    run: Run, checkpoint: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "sts.csv"
    data.write_text("score,sentence1,sentence2\n5,the cat,the cat\n1,a film,one two\n3,a dog,the dog\n")
    arguments = ("eval", "sts", checkpoint(), "--data", data, "--reference", checkpoint())
    several = (*arguments, "--recipe", "round-to-nearest", "--recipe", "fp32", "--examples", 2)
    outcome = run(*several)
    assert outcome.code == 0 and "examples" in outcome.out and "fp32: spearman is" in outcome.out
    models = run.json(*several)["models"]
    assert list(models) == ["round-to-nearest", "fp32"]
    assert models["fp32"]["comparison"]["disagreements"] == 0
    reference = models["round-to-nearest"]["comparison"]["reference"]
    assert reference["metrics"] == models["fp32"]["metrics"]
    alone = run.json(*arguments, "--recipe", "round-to-nearest")
    assert {**alone, "examples": models["round-to-nearest"]["examples"]} == models["round-to-nearest"]
    assert [(each["text"], each["expected"]) for each in models["fp32"]["examples"]] == [
        ("the cat | the cat", "5"),
        ("a film | one two", "1"),
    ]
    assert models["fp32"]["examples"][0]["answer"] == "1.0000"
    without = run("eval", "sts", checkpoint(), "--data", data, "--recipe", "fp32", "--recipe", "bf16")
    assert without.code == 0 and "reference" not in without.out
    refused = run(*several, "--report", tmp_path / "page.html")
    assert refused.code == 2 and "one --recipe" in refused.err
