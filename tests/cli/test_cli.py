"""The command line as a process sees it: arguments in, standard output, standard error, exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bertc
from bertc import _native
from bertc.cli import main as module
from bertc.precision import WEIGHT_BOUNDS
from tests.cli.conftest import Run
from tests.conftest import MakeArtifact


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"bertc {bertc.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["nonsense"],
        ["embed", "a.bertc"],
        ["embed", "a.bertc", "text", "--input", "a.txt"],
        ["embed", "a.bertc", "text", "-o", "a.csv"],
        ["embed", "a.bertc", "text", "--json"],
        ["embed", "a.bertc", "text", "--format", "csv"],
        ["embed", "a.bertc", "-i", "a.txt", "--format", "doc"],
        ["compile", "model"],
        ["compile", "model", "-o", "a.bertc", "--dtype", "int3"],
        ["compile", "model", "-o", "a.bertc", "--profile", "sse"],
        ["compile", "model", "-o", "a.bertc", "--preset", "sse"],
        ["compile", "model", "-o", "a.bertc", "--preset", "avx2", "--recipe", "fp32"],
        ["eval", "sts", "a.bertc"],
        ["bench", "a.bertc", "--batch", "1,x"],
        ["show", "a.bertc", "--threads", "0"],
    ],
)
def test_misuse_is_exit_code_2(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.code == 2
    assert outcome.out == "" and outcome.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "none.bertc"],
        ["embed", "none.bertc", "text"],
        ["eval", "sts", "none.bertc", "--data", "none.csv", "--json"],
        ["bench", "none.bertc"],
        ["compile", "none/model", "-o", "a.bertc"],
    ],
)
def test_failure_is_one_line_and_exit_code_1(run: Run, arguments: list[str]) -> None:
    outcome = run(*arguments)
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.startswith("bertc: error: ") and outcome.err.count("\n") == 1
    assert "none" in outcome.err


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError(), 1, "bertc: error: out of memory\n"),
        (
            OSError(28, "No space left on device", "a.npy"),
            1,
            "bertc: error: a.npy: No space left on device\n",
        ),
    ],
)
def test_other_endings(run: Run, error: BaseException, code: int, message: str) -> None:
    def fail() -> None:
        raise error

    run.monkeypatch.setattr(module, "app", fail)
    assert run() == (code, "", message)


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_what_the_terminal_cannot_show_is_replaced(
    artifact: MakeArtifact, tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / "модель.bertc"
    shutil.copy(artifact(), path)
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for arguments in (["show", path], ["show", path, "--certificate"], ["show", tmp_path / "нет.bertc"]):
        command = [sys.executable, "-m", "bertc.cli.main", *arguments]
        done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
        errors = done.stderr.decode(encoding)
        assert "Traceback" not in errors and done.returncode == (not arguments[1].exists())
        assert done.stdout.decode(encoding) or "bertc: error: cannot open" in errors


def test_compile(run: Run, checkpoint: MakeArtifact, tmp_path: Path) -> None:
    path = tmp_path / "tiny.bertc"
    facts = run.json("compile", checkpoint(), "-o", path, "--dtype", "bf16")
    assert facts["dtype"] == "bf16" and facts["bytes"] == path.stat().st_size
    assert facts["task"] == "embedding" and facts["output"] == str(path)
    outcome = run("compile", checkpoint(), "-o", path)
    assert outcome.code == 0 and "int8" in outcome.out
    inside = ("--subfolder", checkpoint().name)
    facts = run.json("compile", checkpoint().parent, "-o", path, "--dtype", "bf16", *inside)
    assert facts["model"] == checkpoint().name
    run.monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "cache"))
    outcome = run("run", checkpoint().parent, "a text", *inside)
    assert outcome.code == 0 and "embedding" in outcome.out


def test_eval_sts(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    rows = [("the cat", "a dog", 1), ("good film", "good movie", 4), ("one two", "one two", 5)]
    data = tmp_path / "sts.csv"
    data.write_text("".join(f"g\tf\ty\t{i}\t{row[2]}\t{row[0]}\t{row[1]}\n" for i, row in enumerate(rows)))
    result = run.json("eval", "sts", artifact(), "--data", data)
    assert set(result["metrics"]) == {"pearson", "spearman"}
    assert result["counts"] == {"samples": 3, "pairs": 3, "tokens": 24, "truncated": 0}
    outcome = run("eval", "sts", artifact(), "--data", data)
    assert outcome.code == 0 and "spearman" in outcome.out


def test_eval_classify(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    data = tmp_path / "dev.tsv"
    data.write_text("label\tsentence\n1\tgood film\nnegative\tbad\n")
    result = run.json("eval", "classify", artifact("classification"), "--data", data)
    averages = {"f1_macro", "f1_micro", "f1_weighted", "matthews"}
    assert set(result["metrics"]) == {"accuracy", "f1", "precision", "recall", *averages}
    assert result["confusion"]["labels"] == ["negative", "positive"]
    assert result["counts"] == {"samples": 2, "tokens": 7, "truncated": 0}


def test_eval_ner(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    data = tmp_path / "test.txt"
    data.write_text("john B-PER\nlives O\n\n" + "paris B-LOC\n" * 100)
    result = run.json("eval", "ner", artifact("token_classification"), "--data", data, "--threads", 1)
    assert set(result["metrics"]) == {"accuracy", "f1", "precision", "recall", "token_f1"}
    counts = {"samples": 2, "words": 102, "entities": 101, "tokens": 4 + 64 + 40, "truncated": 0}
    assert result["counts"] == counts


def test_eval_beside_a_reference(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    data, page = tmp_path / "dev.tsv", tmp_path / "page.html"
    data.write_text("label\tsentence\n1\tgood <b>film</b>\nnegative\tbad\n")
    model = artifact("classification")
    arguments = [
        "eval",
        "classify",
        model,
        "--data",
        data,
        "--reference",
        model,
        "--report",
        page,
        "--seed",
        1,
    ]
    comparison = run.json(*arguments)["comparison"]
    assert comparison["disagreements"] == 0 and comparison["p"] == 1
    assert comparison["verdict"] == "every answer is that of the reference"
    assert "<svg" in page.read_text() and "film</b>" not in page.read_text()
    outcome = run(*arguments)
    assert outcome.code == 0 and "every answer is that of the reference" in outcome.out


def test_eval_looks_for_the_data_before_it_compiles(
    run: Run, checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    run.monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "cache"))
    outcome = run("eval", "sts", checkpoint(), "--data", tmp_path / "absent.csv")
    assert outcome.code == 1 and "absent.csv: No such file" in outcome.err
    assert not (tmp_path / "cache").exists()


def test_eval_by_other_columns(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    data = tmp_path / "test.txt"
    data.write_text("B-PER john NNP\nO lives VB\n")
    model = artifact("token_classification")
    counts = run.json("eval", "ner", model, "--data", data, "--columns", "2,1")["counts"]
    assert counts["entities"] == 1
    for wrong in ("0,1", "a,b", "1"):
        outcome = run("eval", "ner", model, "--data", data, "--columns", wrong)
        assert outcome.code == 2 and "--columns" in outcome.err


def test_eval_with_the_wrong_model_fails(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    data = tmp_path / "dev.tsv"
    data.write_text("label\tsentence\n1\tgood film\n")
    outcome = run("eval", "classify", artifact(), "--data", data)
    assert outcome.code == 1 and outcome.err.count("\n") == 1


def test_show(run: Run, artifact: MakeArtifact) -> None:
    path = artifact("token_classification", "int8")
    facts = run.json("show", path, "--verify")
    assert facts["file"]["weights_verified"] is True and facts["file"]["bytes"] == path.stat().st_size
    assert facts["model"]["task"] == "token_classification" and facts["recipe"]["dtype"] == "int8"
    assert {row["dtype"] for row in facts["tensors"]} >= {"i8", "f32"}
    assert {"certificate", "provenance", "program"} <= set(facts)
    outcome = run("show", path)
    assert outcome.code == 0 and "not checked: --verify" in outcome.out and "{" not in outcome.out
    labels = len(facts["model"]["labels"])
    assert f"f32 [tokens, {labels}]" in outcome.out and "verified" in run("show", path, "--verify").out
    assert all(
        word in outcome.out for word in ("int8", "B-PER", "weights_sha256", facts["file"]["weights_sha256"])
    )


def test_show_has_the_certificate_in_a_line(run: Run, artifact: MakeArtifact) -> None:
    facts = run.json("show", artifact())
    assert facts["certificate"]["summary"].startswith("cosine to fp32: 1.00000 on average")


@pytest.mark.parametrize("head", ["embedding", "classification", "token_classification"])
def test_show_certificate(run: Run, artifact: MakeArtifact, head: str) -> None:
    path = artifact(head, "int8")
    certificate = run.json("show", path, "--certificate")
    assert certificate["data"]["samples"] == 128 and len(certificate["layers"]) > 10
    outcome = run("show", path, "--certificate")
    assert outcome.code == 0 and outcome.err == ""
    text = {"embedding": "cosine"}.get(head, "divergence")
    assert all(word in outcome.out for word in (text, "SQNR", "encoder.layer.1.output.dense", "held-out"))
    assert all(word in outcome.out for word in (certificate["worst"][0]["text"], certificate["isa"]))


@pytest.mark.parametrize(
    ("preset", "profile", "bound"), [("default", "vnni", "pairs"), ("avx2", "avx2", "fours")]
)
def test_a_preset_is_chosen_and_shown_also_by_its_former_name(
    preset: str, profile: str, bound: str, run: Run, checkpoint: MakeArtifact, tmp_path: Path
) -> None:
    hashes = set()
    for option, name in (("--preset", preset), ("--recipe", preset), ("--profile", profile)):
        path = tmp_path / f"tiny{option}.bertc"
        outcome = run("compile", checkpoint(), "-o", path, option, name)
        assert outcome.code == 0 and "deprecated" not in outcome.err.lower()
        facts = run.json("show", path)
        assert facts["recipe"]["weights"]["bound"] == bound
        row = WEIGHT_BOUNDS[bound]
        assert facts["int8"] == {"weight_bits": 8, "weight_bound": bound, "use": row.use, "cost": row.cost}
        hashes.add(facts["file"]["weights_sha256"])
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("isa", "preset", "told"),
    [
        ("avx2", "default", True),
        ("avx2", "avx2", False),
        ("avx2", "bf16", False),
        ("scalar", "default", False),
    ],
)
def test_the_faster_preset_is_told_where_it_is_for_the_processor(
    isa: str,
    preset: str,
    told: bool,
    run: Run,
    checkpoint: MakeArtifact,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if isa not in _native.supported_isas():
        pytest.skip(f"this processor lacks {isa}")
    monkeypatch.setenv("BERTC_ISA", isa)
    outcome = run("compile", checkpoint(), "-o", tmp_path / "tiny.bertc", "--preset", preset)
    assert outcome.code == 0 and ("--preset avx2" in outcome.out) == told


def test_a_mix_of_weights_is_counted(run: Run, checkpoint: MakeArtifact, tmp_path: Path) -> None:
    recipe, path = tmp_path / "mix.json", tmp_path / "tiny.bertc"
    recipe.write_text(json.dumps({"parts": {"output": "int7"}}))
    assert run("compile", checkpoint(), "-o", path, "--recipe", recipe).code == 0
    assert run.json("show", path)["int8"] == {"layers": "2 of 7 bits and 7 of 8 bits"}
    assert "2 of 7 bits and 7 of 8 bits" in run("show", path).out


def test_a_profile_is_for_int8(run: Run, checkpoint: MakeArtifact, tmp_path: Path) -> None:
    path = tmp_path / "tiny.bertc"
    outcome = run("compile", checkpoint(), "-o", path, "--dtype", "bf16", "--profile", "avx2")
    assert (outcome.code, outcome.err.count("\n")) == (1, 1) and "not bf16" in outcome.err
    with pytest.raises(bertc.RecipeError, match="profile is 'sse', expected one of vnni, avx2"):
        bertc.compile(checkpoint(), path, profile="sse")
    assert not path.exists()


def test_files_without_int8_layers_have_no_facts_of_them(run: Run, artifact: MakeArtifact) -> None:
    assert run.json("show", artifact("embedding", "bf16"))["int8"] == {}


def test_show_verify_finds_damage(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    path = tmp_path / "damaged.bertc"
    shutil.copy(artifact(), path)
    with path.open("r+b") as file:
        file.seek(-1000, 2)
        file.write(b"\xff" * 10)
    assert run("show", path).code == 0
    outcome = run("show", path, "--verify")
    assert outcome.code == 1 and "damaged" in outcome.err


def test_compile_holds_a_budget(run: Run, checkpoint: MakeArtifact, tmp_path: Path) -> None:
    path = tmp_path / "x.bertc"
    facts = run.json("compile", checkpoint(), "-o", path, "--max-drop", "0.0001%")
    budget = facts["certificate"]["budget"]
    assert budget["met"] and budget["fallbacks"] and budget["max_drop"] == pytest.approx(1e-6)
    plain = run("compile", checkpoint(), "-o", path, "--max-drop", "0.0001%").out
    assert "0.0001 % is allowed" in plain and "--certificate names them" in plain
    outcome = run("show", path, "--certificate")
    assert all(
        word in outcome.out for word in ("budget", "fallbacks", budget["fallbacks"][0]["name"], "held")
    )


@pytest.mark.parametrize("drop", ["much", "-1", "200%", "nan", "%"])
def test_a_budget_that_is_no_share_is_misuse(run: Run, checkpoint: MakeArtifact, drop: str) -> None:
    outcome = run("compile", checkpoint(), "-o", "x.bertc", f"--max-drop={drop}")
    assert outcome.code == 2 and "--max-drop" in outcome.err


def test_compile_scores_a_task(run: Run, checkpoint: MakeArtifact, tmp_path: Path) -> None:
    data, path = tmp_path / "dev.tsv", tmp_path / "x.bertc"
    data.write_text("label\tsentence\n1\tgood film\nnegative\tbad\n")
    outcome = run("compile", checkpoint("classification"), "-o", path, "--eval-data", data)
    assert outcome.code == 0 and "accuracy" in outcome.out and "(fp32 " in outcome.out
    outcome = run("show", path, "--certificate")
    assert "accuracy" in outcome.out and "dev.tsv" in outcome.out and "2 samples" in outcome.out


def test_report(run: Run, artifact: MakeArtifact, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    facts = run.json("report", artifact(), "-o", output)
    assert facts == {"output": str(output), "bytes": output.stat().st_size}
    assert output.read_text("utf-8").startswith("<!doctype html>")
    assert run("report", artifact(), "-o", tmp_path / "none" / "x.html").code == 1
    assert run("report", artifact()).code == 2
