"""Commands whose output is a folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import bertc
from bertc.bulk.output import SUCCESS
from tests.bulk.conftest import TEXTS, read_rows, write_rows
from tests.cli.conftest import Run
from tests.conftest import MakeArtifact
from tests.support.artifacts import Artifacts


def test_embed_writes_a_folder(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "in" / "rows.parquet")
    counts = run.json("embed", artifact(), "--input", rows.parent, "-o", tmp_path / "out", "--normalize")
    assert counts["rows"] == len(TEXTS) and counts["shards"] == 1
    expected = bertc.load(artifact()).encode(TEXTS, normalize_embeddings=True)
    assert read_rows(tmp_path / "out") == dict(enumerate(expected.tolist()))
    again = run("embed", artifact(), "--input", rows.parent, "-o", tmp_path / "out", "--normalize")
    assert again.code == 1 and "--resume" in again.err
    resumed = run(
        "embed", artifact(), "--input", rows.parent, "-o", tmp_path / "out", "--normalize", "--resume"
    )
    assert resumed.code == 0 and "1 shards were there before" in resumed.err


def test_classify_and_tag_write_folders(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv", TEXTS[1:9])
    for command, head in (("classify", "classification"), ("tag", "token_classification")):
        outcome = run(command, artifact(head), "--input", rows, "-o", tmp_path / command, "--instances", 1)
        assert outcome.code == 0 and "8 rows in 1 shards" in outcome.err
        assert (tmp_path / command / SUCCESS).exists()


def test_rerank_scores_the_pairs_of_two_columns(run: Run, artifacts: Artifacts, tmp_path: Path) -> None:
    rows = tmp_path / "pairs.csv"
    rows.write_text("id,question,text\na,who is it,the cat\nb,who is it,a dog plays\n")
    reranker = artifacts.tiny("fp32", "classification", id2label={"0": "score"})
    command = ("rerank", reranker, "--input", rows, "-o", tmp_path / "out", "--query-column", "question")
    assert run(*command, "--batch-tokens", 8).code == 0
    pairs = [("who is it", "the cat"), ("who is it", "a dog plays")]
    expected = bertc.load(reranker).predict(pairs)
    assert read_rows(tmp_path / "out") == dict(zip("ab", expected.tolist(), strict=True))
    refused = run(*command, "--query", "who")
    assert refused.code == 2 and "leave --query" in refused.err
    assert "--query" in run("rerank", reranker, "the cat").err


def test_a_cluster_needs_its_package(
    run: Run, artifact: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    rows = write_rows(tmp_path / "rows.csv")
    outcome = run("embed", artifact(), "--input", rows, "-o", tmp_path / "out", "--ray", "auto")
    assert outcome.code == 1 and 'pip install "bertc[ray]"' in outcome.err and not (tmp_path / "out").exists()


def test_a_folder_needs_files(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    outcome = run("embed", artifact(), "the cat", "-o", tmp_path / "out")
    assert outcome.code == 2 and "needs files with --input" in outcome.err


def test_options_of_folders_are_refused_elsewhere(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.csv")
    outcome = run("embed", artifact(), "--input", rows, "-o", tmp_path / "out.npy", "--resume")
    assert outcome.code == 2 and "--resume" in outcome.err
