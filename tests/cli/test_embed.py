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
from bertc.task_table import TASKS
from tests.cli.conftest import Run
from tests.conftest import MakeArtifact
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.tiny_models import make_bert_checkpoint, write_json

TEXTS = ["the cat", "a dog plays"]


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


def test_prompts(run: Run, tmp_path: Path) -> None:
    source = make_bert_checkpoint(tmp_path / "source", pooling="mean")
    prompts = {"query": "a question: ", "other": "the other: "}
    write_json(source / "config_sentence_transformers.json", {"prompts": prompts})
    model = bertc.load(bertc.compile(source, tmp_path / "x.bertc", dtype="fp32").path)
    for arguments, expected in (
        (("--prompt", "the "), model.encode(TEXTS, prompt="the ")),
        (("--prompt-name", "other"), model.encode(TEXTS, prompt_name="other")),
        (("--as", "query"), model.encode_query(TEXTS)),
    ):
        rows = [
            json.loads(line)
            for line in run("embed", tmp_path / "x.bertc", *TEXTS, *arguments).out.splitlines()
        ]
        assert [row["text"] for row in rows] == TEXTS
        assert np.array_equal(np.array([row["embedding"] for row in rows], np.float32), expected)
    outcome = run("embed", tmp_path / "x.bertc", *TEXTS, "--prompt-name", "third")
    assert outcome.code == 1 and "has the prompts 'query'" in outcome.err


@pytest.mark.parametrize("precision", ["int8", "uint8", "binary", "ubinary"])
def test_precisions(run: Run, artifact: MakeArtifact, tmp_path: Path, precision: str) -> None:
    expected = bertc.load(artifact()).encode(TEXTS, precision=precision)
    arguments = ("embed", artifact(), *TEXTS, "--precision", precision)
    assert run(*arguments, "-o", tmp_path / "x.npy").code == 0
    found = np.load(tmp_path / "x.npy")
    assert found.dtype == expected.dtype and np.array_equal(found, expected)
    rows = [json.loads(line)["embedding"] for line in run(*arguments).out.splitlines()]
    assert rows == expected.tolist()
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run(*arguments, "-o", tmp_path / "x.parquet").code == 0
    column = parquet.read_table(tmp_path / "x.parquet").column("embedding")
    assert str(column.type.value_type) == str(expected.dtype) and column.to_pylist() == expected.tolist()


def test_the_file_has_the_width_that_the_folder_truncates_to(run: Run, tmp_path: Path) -> None:
    source = make_bert_checkpoint(tmp_path / "source", pooling="mean")
    write_json(source / "config_sentence_transformers.json", {"truncate_dim": 20})
    model = bertc.load(bertc.compile(source, tmp_path / "x.bertc", dtype="fp32").path)
    assert run("embed", tmp_path / "x.bertc", *TEXTS, "-o", tmp_path / "x.npy").code == 0
    assert np.array_equal(np.load(tmp_path / "x.npy"), model.encode(TEXTS))


@pytest.mark.parametrize(
    ("class_name", "task"), [("BertForMaskedLM", "sparse"), ("BertModel", "late_interaction")]
)
def test_sparse_and_token_vectors(run: Run, tmp_path: Path, class_name: str, task: str) -> None:
    source = save_checkpoint(tmp_path / "source", class_name)
    path = bertc.compile(source, tmp_path / "x.bertc", dtype="fp32", task=task).path
    model = bertc.load(path)
    output = tmp_path / "x.jsonl"
    for form in (("embed", "--as", "query"), ("embed",), ("run",)):
        command, *options = form
        assert run(command, path, *TEXTS, *options, "-o", output).code == 0
        rows = [json.loads(line)["embedding"] for line in output.read_text().splitlines()]
        method = model.encode_query if options else getattr(model, TASKS[task].methods[0])
        if task == "sparse":
            expected = method(TEXTS, output="dict")
            assert [list(row) for row in rows] == [list(each) for each in expected]
            assert all(
                np.allclose(list(row.values()), list(each.values()))
                for row, each in zip(rows, expected, strict=True)
            )
        else:
            expected = method(TEXTS)
            assert all(
                np.array_equal(np.array(row, np.float32), each)
                for row, each in zip(rows, expected, strict=True)
            )
    assert run(command, path, *TEXTS).out == output.read_text()
    outcome = run("embed", path, *TEXTS, "-o", tmp_path / "x.npy")
    assert outcome.code == 2 and ".jsonl" in outcome.err
    outcome = run("embed", path, *TEXTS, "--precision", "int8")
    assert outcome.code == 2 and "--precision" in outcome.err and task in outcome.err
