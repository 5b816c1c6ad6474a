"""``bertc run`` and its named forms: what the methods answer, as JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import bertc
from tests.cli.conftest import Run
from tests.conftest import MakeArtifact
from tests.support.hf_checkpoints import save_checkpoint

TEXTS = ["the man plays guitar", "good movie"]


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that compiles a random checkpoint of a class, once."""
    made: dict[str, Path] = {}

    def compile_class(class_name: str) -> Path:
        if class_name not in made:
            folder = tmp_path_factory.mktemp(class_name)
            source = save_checkpoint(folder / "source", class_name)
            made[class_name] = bertc.compile(source, folder / "x.bertc", dtype="fp32").path
        return made[class_name]

    return compile_class


def test_classify_texts_and_pairs(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    path = artifact("classification")
    classifier = bertc.load(path)
    outcome = run("classify", path, *TEXTS)
    assert outcome.code == 0 and outcome.err == ""
    assert [row["answer"] for row in lines(outcome.out)] == classifier.classify(TEXTS)
    (tmp_path / "pairs.csv").write_text("id,text,other\na,the man,a dog\nb,good,movie\n")
    output = tmp_path / "out.jsonl"
    arguments = ("-i", tmp_path / "pairs.csv", "--pair-column", "other", "-o", output, "--top-k", 2)
    assert run("classify", path, *arguments).code == 0
    rows = lines(output.read_text())
    assert [(row["id"], row["text"], row["pair"]) for row in rows] == [
        ("a", "the man", "a dog"),
        ("b", "good", "movie"),
    ]
    expected = classifier.classify([("the man", "a dog"), ("good", "movie")], top_k=2)
    assert [row["answer"] for row in rows] == expected


def test_tag(run: Run, artifact: MakeArtifact) -> None:
    path = artifact("token_classification")
    outcome = run("tag", path, *TEXTS, "--aggregation-strategy", "none")
    assert [row["answer"] for row in lines(outcome.out)] == bertc.load(path).tag(
        TEXTS, aggregation_strategy="none"
    )
    outcome = run("tag", path, "a text", "--aggregation-strategy", "best")
    assert outcome.code == 1 and "aggregation_strategy" in outcome.err


def test_answer(run: Run, compiled: Any, tmp_path: Path) -> None:
    path = compiled("BertForQuestionAnswering")
    expected = bertc.load(path).answer("who plays", "the man plays guitar")
    outcome = run("answer", path, "-q", "who plays", "-c", "the man plays guitar")
    assert lines(outcome.out)[0]["answer"] == expected
    (tmp_path / "x.jsonl").write_text(
        json.dumps({"question": "who plays", "context": "the man plays guitar"}) + "\n"
    )
    assert lines(run("answer", path, "-i", tmp_path / "x.jsonl").out)[0]["answer"] == expected
    assert run("answer", path, "-q", "who plays").code == 2


def test_fill_mask(run: Run, compiled: Any) -> None:
    path = compiled("BertForMaskedLM")
    outcome = run("fill-mask", path, "the [MASK] plays", "--top-k", 2, "--target", "man", "--target", "dog")
    (row,) = lines(outcome.out)
    assert row["answer"] == bertc.load(path).fill_mask("the [MASK] plays", top_k=2, targets=["man", "dog"])
    outcome = run("fill-mask", path, "the man plays")
    assert outcome.code == 1 and "row 0 of the input" in outcome.err


def test_run_does_what_the_model_is_for(
    run: Run, artifact: MakeArtifact, compiled: Any, tmp_path: Path
) -> None:
    for path, method in (
        (artifact("classification"), "classify"),
        (artifact("token_classification"), "tag"),
    ):
        answers = [row["answer"] for row in lines(run("run", path, *TEXTS).out)]
        assert answers == getattr(bertc.load(path), method)(TEXTS)
    path = artifact("embedding")
    assert run("run", path, *TEXTS).out == run("embed", path, *TEXTS).out
    found = [run(form, path, *TEXTS, "-o", tmp_path / f"{form}.npy").code for form in ("run", "embed")]
    assert found == [0, 0] and (tmp_path / "run.npy").read_bytes() == (tmp_path / "embed.npy").read_bytes()
    assert "must end in .npy, .jsonl, .parquet" in run("run", path, *TEXTS, "-o", tmp_path / "x.txt").err
    fillings = lines(run("run", compiled("BertForMaskedLM"), "the [MASK] plays").out)[0]["answer"]
    assert len(fillings) == 5


def test_a_model_for_another_task_says_what_it_can(run: Run, artifact: MakeArtifact) -> None:
    outcome = run("answer", artifact("classification"), "-q", "who", "-c", "a man")
    assert outcome.code == 1 and "is a model for classification: it answers classify" in outcome.err
    outcome = run("rerank", artifact("embedding"), "a text", "-q", "who")
    assert outcome.code == 1 and "it answers encode" in outcome.err


def test_a_row_without_a_context_is_named(run: Run, compiled: Any, tmp_path: Path) -> None:
    rows = [{"question": "who plays", "context": text} for text in ("the man plays", "", "a dog")]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    outcome = run("answer", compiled("BertForQuestionAnswering"), "-i", tmp_path / "x.jsonl")
    assert outcome.code == 1 and len(lines(outcome.out)) == 1
    assert "error: row 1 of the input: context is empty: there is nothing to answer" in outcome.err


def test_a_model_that_chooses_has_no_form(run: Run, compiled: Any) -> None:
    outcome = run("run", compiled("BertForMultipleChoice"), "a text")
    assert outcome.code == 1 and "chooses among texts, which is for Python: call choose" in outcome.err


def test_labels_and_top_k_are_misuse(run: Run, artifact: MakeArtifact) -> None:
    outcome = run("classify", artifact("classification"), "a text", "--label", "a", "--top-k", 2)
    assert outcome.code == 2 and "leave --top-k out" in outcome.err


def test_input_that_is_not_there(
    run: Run, artifact: MakeArtifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.csv").write_text("")
    outcome = run("classify", artifact("classification"), "-i", tmp_path / "empty.csv")
    assert outcome.code == 1 and "empty.csv: no column 'text', it has none" in outcome.err
    monkeypatch.setattr(sys, "stdin", None)
    outcome = run("classify", artifact("classification"), "-i", "-")
    assert outcome.code == 1 and outcome.err == "bertc: error: cannot read standard input: it is closed\n"


def test_an_interrupt_while_modules_are_imported_is_quiet(tmp_path: Path) -> None:
    at_once = "signal.signal(signal.SIGINT, signal.default_int_handler)\nsignal.raise_signal(signal.SIGINT)\n"
    (tmp_path / "typer.py").write_text(f"import signal\n{at_once}")  # also where a job ignores interrupts
    paths = [str(tmp_path), str(Path(bertc.__file__).parents[1])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "bertc", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give texts, or a file with --input"),
        (("a text", "-i", "x.txt"), "give texts, or a file with --input"),
        (("a text", "--format", "txt"), "--format is about --input"),
        (("a text", "-o", "x.npy"), "the output must end in .jsonl"),
    ],
)
def test_misuse_is_told(run: Run, artifact: MakeArtifact, arguments: tuple[str, ...], message: str) -> None:
    outcome = run("classify", artifact("classification"), *arguments)
    assert outcome.code == 2 and message in outcome.err
