"""Whole runs under load, with tiny files: each instance is in a process of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.bench.load import run as module
from bertc.bench.load.instance import LoadDriver
from bertc.bench.load.run import run_load
from bertc.bench.load.settings import (
    Case,
    LoadSettings,
    PreparedSequence,
    check_settings,
    cores_of,
)
from bertc.bench.process import EngineError, EngineProcess, EngineSpec
from bertc.errors import InputError
from tests.conftest import MakeArtifact
from tests.support.answers import make_info
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_checkpoint

TEXTS = ("the cat", "a dog", "good film", "one two three")
POSITIONS = {"max_position_embeddings": 64, "first_position": 0}


def settings(file: Path, **changes: Any) -> LoadSettings:
    quick: dict[str, Any] = {"batches": (2,), "lengths": (8,), "loops": 1, "warmup": 0}
    return LoadSettings(file, **{**quick, **changes})


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    path = tmp_path / "dev.tsv"
    path.write_text("label\tsentence\n" + "".join(f"{i % 2}\t{text}\n" for i, text in enumerate(TEXTS)))
    return path


def test_a_labeled_file_gives_each_row_its_score_and_both_scopes(
    artifact: MakeArtifact, labeled: Path
) -> None:
    chosen = settings(
        artifact("classification"), data=labeled, batches=(1, 3), lengths=(16, None), instances=2
    )
    kept: list[dict[str, Any]] = []
    report = run_load(chosen, keep=kept.append)
    keys = [(row["length"], row["batch"], row["scope"]) for row in report["rows"]]
    assert keys == [
        (length, batch, scope)
        for length in (16, None)
        for batch in (1, 3)
        for scope in ("end_to_end", "kernel")
    ]
    assert {row["samples"] for row in report["rows"]} == {4}  # one pass, dealt to two instances
    assert {row["requests"] for row in report["rows"]} == {4, 2}
    assert [row["padding_percent"] > 0 for row in report["rows"]] == [True] * 4 + [False] * 4
    scores = [row["scores"] for row in report["rows"]]
    assert all(score == scores[0] for score in scores) and scores[0]["counts"]["samples"] == 4
    assert report["complete"] and not kept[0]["complete"] and len(kept[0]["rows"]) == 1
    assert json.loads(json.dumps(report)) == report
    assert len(report["settings"]["cores"]) == 2 and report["file"]["dtype"] == "fp32"


def test_a_length_cuts_and_fills_texts(artifact: MakeArtifact) -> None:
    chosen = settings(artifact(), texts=TEXTS, lengths=(3, 8, None), batches=(4,), scopes=("end_to_end",))
    rows = run_load(chosen)["rows"]
    assert rows[0]["tokens_per_sample"] == 3
    assert rows[1]["tokens_per_sample"] == rows[2]["tokens_per_sample"] > 3
    assert [row["padding_percent"] for row in rows][::2] == [0, 0] and rows[1]["padding_percent"] > 0
    assert rows[0]["scores"] is None


def test_a_length_that_holds_no_text_is_told(artifact: MakeArtifact) -> None:
    with pytest.raises(EngineError, match="length 2 leaves a text no room beside special tokens"):
        run_load(settings(artifact(), texts=TEXTS, lengths=(2,)))


def test_random_ids_and_prepared_ones_run_in_the_model_alone(artifact: MakeArtifact) -> None:
    rows = run_load(settings(artifact(), loops=3, queue=2))["rows"]
    assert [(row["scope"], row["requests"], row["samples"]) for row in rows] == [("kernel", 3, 6)]
    ids = tuple(PreparedSequence(np.array([1, 2, 3][: 1 + each % 3], np.int32), None) for each in range(5))
    rows = run_load(settings(artifact(), sequences=ids, lengths=(None,), fill="zero"))["rows"]
    assert [(row["requests"], row["samples"]) for row in rows] == [(3, 5)]


def test_an_open_loop(artifact: MakeArtifact) -> None:
    chosen = settings(artifact(), loops=None, rate=1000.0, seconds=0.02, poisson=True, queue=2)
    (row,) = run_load(chosen)["rows"]
    assert row["requests"] + row["given_up"] == 20 and row["offered_per_second"] == 1000
    assert row["p99_ms"] >= row["service_p50_ms"] > 0


def test_a_closed_loop_for_some_time_has_rounds(artifact: MakeArtifact) -> None:
    said: list[str] = []
    (row,) = run_load(settings(artifact(), loops=None, seconds=0.003), said.append)["rows"]
    assert row["spread"] is not None and row["requests"] >= 3
    assert "2 x 8, kernel, round 3 of 3" in said


def test_energy_is_added_up(artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    class Meter:
        def joules(self) -> float:
            return 4.0

    monkeypatch.setattr(module, "EnergyMeter", Meter)
    (row,) = run_load(settings(artifact(), energy=True))["rows"]
    assert row["energy"]["joules"] == 4.0 and row["energy"]["joules_per_sample"] == 2.0


def test_what_a_model_cannot_run_is_refused_before_anything_runs(
    artifact: MakeArtifact, labeled: Path
) -> None:
    with pytest.raises(InputError, match="64 positions"):
        run_load(settings(artifact(), lengths=(8, 65)))
    with pytest.raises(InputError, match="no lengths of their own"):
        run_load(settings(artifact(), lengths=(None,)))
    long = (PreparedSequence(np.zeros(9, np.int32), None),)
    with pytest.raises(InputError, match="ids: sample 0 has 9 tokens, more than 8: prepared ids are not cut"):
        run_load(settings(artifact(), sequences=long, source="ids"))
    with pytest.raises(InputError, match="which answers about pairs"):
        check_settings(
            settings(Path("tiny.bertc"), texts=TEXTS), make_info("question_answering", facts=POSITIONS)
        )
    with pytest.raises(InputError, match="nothing scores models for sparse"):
        check_settings(settings(Path("tiny.bertc"), data=labeled), make_info("sparse", facts=POSITIONS))


def test_a_labeled_file_that_is_wrong_is_told_with_its_place(artifact: MakeArtifact, tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text("label\tsentence\n7\ta text\n")
    with pytest.raises(EngineError, match=r"dev\.tsv, line 2, column label"):
        run_load(settings(artifact("classification"), data=tmp_path / "dev.tsv"))


def test_instances_have_processors_of_their_own_while_there_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7, 8}, raising=False)
    assert cores_of(2, 2) == [(3, 5), (7, 8)]
    assert cores_of(3, 2) == [(3, 5), (7, 8), (3, 5)]
    assert cores_of(1, 9) == [(3, 5, 7, 8)]
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cores_of(2, 2) == [(), ()]


def test_an_instance_can_be_ended_in_the_middle_of_its_work(artifact: MakeArtifact, tmp_path: Path) -> None:
    spec = EngineSpec("bertc", "fp32", "tiny", artifact(), None, tmp_path, (), 1)
    process = EngineProcess(spec, TEXTS, LoadDriver)
    try:
        assert process.ask(LoadDriver.add_texts, Case(4, None))[0][0] == 4
        process.kill()
        with pytest.raises(EngineError, match="its process died"):
            process.ask(LoadDriver.add_texts, Case(4, None))
        process.kill()  # it is no error that there is nobody any more
    finally:
        process.close()


def test_an_interrupt_ends_all_instances(artifact: MakeArtifact, monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[str] = []
    kill = EngineProcess.kill

    def note(process: EngineProcess) -> None:
        killed.append(process.spec.name)
        kill(process)

    def interrupt(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(EngineProcess, "kill", note)
    monkeypatch.setattr(module, "Schedule", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_load(settings(artifact(), instances=2))
    assert len(killed) == 2


STS = "".join(f"g\tf\ty\t{i}\t{i}\t{text}\tthe {text}\n" for i, text in enumerate(TEXTS))
WORDS = "the\tO\ncat\tB-PER\n\na\tO\ndog\tB-PER\n"
SQUAD = {
    "version": "1.1",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "the cat and a dog saw one two three films in a good city",
                    "qas": [
                        {"id": str(i), "question": text, "answers": [{"text": "cat", "answer_start": 4}]}
                        for i, text in enumerate(TEXTS)
                    ],
                }
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("head", "name", "content", "metric"),
    [
        ("embedding", "sts.csv", STS, "spearman"),
        ("token_classification", "words.txt", WORDS, "f1"),
        ("question_answering", "squad.json", json.dumps(SQUAD), "f1"),
    ],
)
def test_each_task_that_can_be_scored_runs_its_own_data(
    artifacts: Artifacts, tmp_path: Path, head: str, name: str, content: str, metric: str
) -> None:
    (tmp_path / name).write_text(content)
    if head == "question_answering":
        source = artifacts.derived("load-qa", lambda path: save_checkpoint(path, "BertForQuestionAnswering"))
        file = artifacts.compile(source, "fp32")
    else:
        file = artifacts.tiny("fp32", head)
    rows = run_load(settings(file, data=tmp_path / name, lengths=(24, 12, None), scopes=("kernel",)))["rows"]
    scores = [row["scores"]["metrics"][metric] for row in rows]
    assert scores[0] == scores[2] and all(np.isfinite(scores))
    assert all(row["tokens_per_sample"] > 0 for row in rows) and rows[0]["padding_percent"] > 0
    computed = [row["tokens_per_sample"] / (1 - row["padding_percent"] / 100) for row in rows]
    # A long context is read in windows of the row's length, each with the question.
    windows = computed[1] / 12
    assert windows == pytest.approx(round(windows)) and (windows > 2) == (head == "question_answering")
