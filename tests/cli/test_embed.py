"""``bertc embed``."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bertc
from bertc.files import texts
from tests.cli.conftest import Run
from tests.conftest import MakeArtifact


def test_embed_prints_json_lines(run: Run, artifact: MakeArtifact) -> None:
    outcome = run("embed", artifact(), "the cat", "", "--truncate-dim", 3, "--normalize")
    assert outcome.code == 0 and outcome.err == ""
    rows = [json.loads(line) for line in outcome.out.splitlines()]
    expected = bertc.load(artifact()).encode(["the cat", ""], truncate_dim=3, normalize_embeddings=True)
    assert [(row["id"], row["text"]) for row in rows] == [(0, "the cat"), (1, "")]
    assert np.array_equal(np.array([row["embedding"] for row in rows], np.float32), expected)


@pytest.mark.parametrize("suffix", [".npy", ".jsonl", ".parquet"])
def test_embed_a_file(run: Run, artifact: MakeArtifact, tmp_path: Path, suffix: str) -> None:
    (tmp_path / "texts.txt").write_text("one two\n\nthe cat\n")
    output = tmp_path / f"out{suffix}"
    summary = run.json("embed", artifact(), "--input", tmp_path / "texts.txt", "-o", output)
    assert summary["samples"] == 3
    expected = bertc.load(artifact()).encode(["one two", "", "the cat"])
    if suffix == ".npy":
        found = np.load(output)
    elif suffix == ".jsonl":
        found = np.array([json.loads(line)["embedding"] for line in output.read_text().splitlines()])
    else:
        parquet = pytest.importorskip("pyarrow.parquet")
        found = np.array(parquet.read_table(output).column("embedding").to_pylist())
    assert np.array_equal(found.astype(np.float32), expected)


def test_a_bad_line_leaves_no_output(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('"fine"\n{')
    outcome = run("embed", artifact(), "-i", tmp_path / "texts.jsonl", "-o", tmp_path / "out.npy")
    assert outcome.code == 1 and "texts.jsonl, line 2" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["texts.jsonl"]


def test_rows_before_a_bad_line_are_kept(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    run.monkeypatch.setattr(texts, "SLICE_RECORDS", 2)
    (tmp_path / "texts.jsonl").write_text('"one"\n"two"\n"three"\n{')
    arguments = ("embed", artifact(), "-i", tmp_path / "texts.jsonl")
    outcome = run(*arguments, "-o", tmp_path / "out.npy")
    assert outcome.code == 1 and "texts.jsonl, line 4" in outcome.err
    assert f"The first 2 rows are kept in {tmp_path / 'out.partial.npy'}" in outcome.err
    assert {path.name for path in tmp_path.iterdir()} == {"texts.jsonl", "out.partial.npy"}
    expected = bertc.load(artifact()).encode(["one", "two"])
    assert np.array_equal(np.load(tmp_path / "out.partial.npy"), expected)
    outcome = run(*arguments)
    assert (
        len(outcome.out.splitlines()) == 2 and "The first 2 rows are kept in standard output" in outcome.err
    )


def test_a_text_that_is_wrong_is_named_and_those_before_it_are_kept(
    run: Run, artifact: MakeArtifact, tmp_path: Path
) -> None:
    encode = bertc.Embedder.encode

    def refuse(self: bertc.Embedder, inputs: list[str], **options: object) -> object:
        if "bad" in inputs:
            raise bertc.InputError(f"inputs[{inputs.index('bad')}] holds a token too many")
        return encode(self, inputs, **options)  # type: ignore[call-overload]

    run.monkeypatch.setattr(bertc.Embedder, "encode", refuse)
    run.monkeypatch.setattr(texts, "SLICE_RECORDS", 3)
    (tmp_path / "texts.txt").write_text("one\ntwo\nthree\nfour\nbad\nfive\n")
    outcome = run("embed", artifact(), "-i", tmp_path / "texts.txt", "-o", tmp_path / "out.npy")
    assert outcome.code == 1 and "row 4 of the input holds a token too many. The first 4 rows" in outcome.err
    expected = bertc.load(artifact()).encode(["one", "two", "three", "four"])
    assert np.array_equal(np.load(tmp_path / "out.partial.npy"), expected)


def test_embed_reads_any_format_from_standard_input(run: Run, artifact: MakeArtifact) -> None:
    text = io.TextIOWrapper(io.BytesIO(b'{"id": 1.5, "body": "the cat"}\n'))
    run.monkeypatch.setattr(sys, "stdin", text)
    outcome = run("embed", artifact(), "-i", "-", "--format", "jsonl", "--column", "body")
    row = json.loads(outcome.out)
    assert (row["id"], row["text"]) == (1.5, "the cat")
    assert np.array_equal(np.float32(row["embedding"]), bertc.load(artifact()).encode("the cat"))


def test_truncation_is_a_warning_on_stderr(artifact: MakeArtifact) -> None:
    command = [sys.executable, "-m", "bertc.cli.main", "embed", str(artifact()), "cat " * 100]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)  # pytest holds warnings back
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1
    assert done.stderr.startswith("bertc: warning: the text has more than 64 tokens")
    assert done.stderr.count("\n") == 1


def test_texts_that_are_cut_in_several_slices_are_one_warning(
    run: Run, artifact: MakeArtifact, tmp_path: Path
) -> None:
    run.monkeypatch.setattr(texts, "SLICE_RECORDS", 2)
    long = "cat " * 100
    (tmp_path / "texts.txt").write_text(f"{long}\none\n{long}\n{long}\none\n")
    with pytest.warns(bertc.TruncationWarning, match="^3 of 4 texts have more than 64 tokens") as caught:
        run("embed", artifact(), "-i", tmp_path / "texts.txt")
    assert len(caught) == 1


def test_a_reader_that_leaves_early_is_no_error(artifact: MakeArtifact, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("cat\n" * 20_000)
    arguments = ["embed", str(artifact()), "-i", str(tmp_path / "texts.txt")]
    command = [sys.executable, "-m", "bertc.cli.main", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None and child.stderr is not None
        assert child.stdout.readline()
        child.stdout.close()
        assert child.stderr.read() == b""
