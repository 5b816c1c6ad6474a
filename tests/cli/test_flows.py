"""The commands on the pages in docs/flows run as they stand there: on slices of the data, tiny models."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flow_folder
import flows
import pytest

from bertc import data
from tests.cli.conftest import Run
from tests.support.artifacts import Artifacts
from tests.support.hf_checkpoints import save_checkpoint
from tests.support.real_data import SHARED, shared_path

pytestmark = [
    pytest.mark.native,
    pytest.mark.filterwarnings("ignore::bertc.TruncationWarning", "ignore:few calibration samples"),
]

SAMPLES = {"sts-train.csv": 16, "people-daily-train.txt": 16}
"""The samples of a slice: enough to calibrate on without a warning; of others 8."""
ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "all-MiniLM-L6-v2": ("BertModel", {}),
    "ce-minilm-l6": ("BertForSequenceClassification", {"num_labels": 1}),
    "qa-minilm-l6": ("BertForQuestionAnswering", {}),
    "sst2-minilm-l6": ("BertForSequenceClassification", {}),
    "ner-zh-small": (
        "BertForTokenClassification",
        {"id2label": dict(enumerate(ENTITIES)), "label2id": {name: row for row, name in enumerate(ENTITIES)}},
    ),
}
"""What the pages call a model -> the class of a tiny one, and what its config says."""
QUICK = ("--loops", 1, "--warmup", 0)
"""Of a load, that it can be run: nobody looks at the times."""


def first_samples(name: str) -> str:
    """The first samples of a file of ``flow_folder.FILES``."""
    text, count = shared_path(flow_folder.FILES[name]).read_text("utf-8"), SAMPLES.get(name, 8)
    if name.startswith("people-daily"):
        return "\n\n".join(text.split("\n\n")[:count]) + "\n"
    return "".join(itertools.islice(text.splitlines(keepends=True), count + name.endswith(".tsv")))


def first_questions(folder: Path) -> None:
    """Write a question of each of the first paragraphs, and some questions to calibrate on."""
    flow_folder.write_xquad(SHARED, folder)
    path, train = folder / flow_folder.XQUAD, folder / flow_folder.XQUAD_TRAIN
    train.write_text("\n".join(train.read_text("utf-8").splitlines()[:16]), "utf-8")
    articles = json.loads(path.read_text("utf-8"))["data"][:2]
    for article in articles:
        article["paragraphs"] = [{**each, "qas": each["qas"][:1]} for each in article["paragraphs"][:3]]
    path.write_text(json.dumps({"data": articles}), "utf-8")


@pytest.fixture
def folder(artifacts: Artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with all that the pages name; few texts calibrate."""
    shared_path("data/xquad/xquad.en.json")
    for name, (class_name, config) in MODELS.items():
        options = {"max_position_embeddings": 512, **config}
        source = artifacts.derived(
            f"flow-{name}",
            lambda path, class_name=class_name, options=options: save_checkpoint(path, class_name, **options),
        )
        shutil.copytree(source, tmp_path / name)
    for name in flow_folder.FILES.keys() - MODELS.keys():
        (tmp_path / name).write_text(first_samples(name), "utf-8")
    first_questions(tmp_path)
    texts = data.sample_texts()[:16]
    monkeypatch.setattr(data, "sample_texts", lambda: texts)
    monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.mark.parametrize("page", flow_folder.pages(), ids=lambda page: page.stem)
def test_a_page_runs_as_it_is(run: Run, folder: Path, page: Path) -> None:
    for name, content in flow_folder.files(page):
        (folder / name).write_text(content, "utf-8")
    commands = flow_folder.commands(page)
    assert commands
    for command in commands:
        if command[:2] == ["export", "onnx"]:
            pytest.importorskip("onnx")
        kind = flows.table_of(command)
        options = (*(QUICK if kind == "speed" else ()), *(["--json"] if kind else []))
        outcome = run(*command, *options)
        assert outcome.code == 0, f"bertc {' '.join(command)}: {outcome.err}"
        if kind is not None:
            rows = [*flows.TABLES[kind](command, json.loads(outcome.out))]
            assert len(rows) > 3 and all(row.count("|") == rows[0].count("|") for row in rows[:-1])
        if command[0] == "eval" and command[-1].endswith("-outputs"):
            assert "every answer is that of the reference" in outcome.out


def test_the_pages_name_their_models() -> None:
    words = {
        word for page in flow_folder.pages() for command in flow_folder.commands(page) for word in command
    }
    assert words >= MODELS.keys() and words >= {"sst2-dev.tsv", "people-daily-test.txt", flow_folder.XQUAD}
