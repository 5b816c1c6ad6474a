"""Whole runs on tiny models: what they leave, and that they go on after they were stopped."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import bertc
from bertc.artifact.reader import open_artifact
from bertc.errors import InputError
from bertc.evaluation.evaluator import evaluate
from bertc.training.finetune import OBJECTIVES
from bertc.training.loop import Loop
from bertc.training.settings import Settings
from tests.conftest import MakeArtifact
from tests.support.sentence_models import assert_close
from tests.training.conftest import KINDS, classes

pytestmark = pytest.mark.native
Write = Callable[[str, str], Path]

LABELS = {
    "classify": ["LABEL_0", "LABEL_1"],
    "ner": ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"],
    "qa": ["LABEL_0", "LABEL_1"],
    "pairs": ["LABEL_0"],
}
TASKS = {"classify": "classification", "ner": "token_classification", "sts": "embedding"}
TASKS |= {"qa": "question_answering", "pairs": "classification"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_leaves_a_checkpoint_of_which_the_scores_are(
    kind: str, checkpoint: MakeArtifact, write: Write, tmp_path: Path
) -> None:
    import transformers

    name, text, options = KINDS[kind]
    data = write(name, text())
    result = bertc.finetune(
        kind, base=checkpoint(), data=data, eval_data=data, output=tmp_path / "out", epochs=1,
        compile=kind == "sts", dtype="bf16" if kind == "sts" else None, **options,
    )  # fmt: skip
    model, loading = getattr(transformers, OBJECTIVES[kind].auto_class).from_pretrained(
        result.folder, output_loading_info=True
    )
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    if kind != "sts":
        assert list(model.config.id2label.values()) == LABELS[kind]
    assert sorted(path.name for path in result.folder.iterdir() if path.name.startswith(".")) == []
    assert json.loads((result.folder / "training.json").read_text())["complete"] is True
    bertc.compile(result.folder, tmp_path / "again.bertc", dtype="fp32")
    encoder = bertc.load(tmp_path / "again.bertc")
    assert encoder.info.task == TASKS[kind]
    objective = OBJECTIVES[kind](Settings(kind, "", "", ""), tuple(LABELS.get(kind, ())))
    assert evaluate(objective.evaluator(), encoder, data, seed=None).metrics == result.epochs[0]["metrics"]
    if kind == "sts":
        assert result.artifact is not None and result.certificate is not None
        assert open_artifact(result.artifact).manifest.recipe["dtype"] == "bf16"
        assert result.scores != result.epochs[0]["metrics"]
        library = pytest.importorskip("sentence_transformers")
        theirs = library.SentenceTransformer(str(result.folder), device="cpu")
        assert_close(encoder.encode(["the cat", "sea"]), theirs.encode(["the cat", "sea"]))


def test_what_the_data_shows_is_learned(checkpoint: MakeArtifact, write: Write, tmp_path: Path) -> None:
    data = write("data.tsv", classes(names=("bad", "good")))
    result = bertc.finetune(
        "classify", base=checkpoint(), data=data, eval_data=data, output=tmp_path / "out", compile=False,
        labels=("good", "bad"), epochs=8, patience=1, batch_size=8, learning_rate=3e-3,
    )  # fmt: skip
    assert result.scores["accuracy"] == 100
    assert len(result.epochs) == result.best_epoch + 1 < 8  # it stopped early
    assert bertc.load(result.folder, dtype="fp32").classify("the film is good")["label"] == "good"


def options_of(checkpoint: MakeArtifact, data: Path) -> dict[str, Any]:
    same = {"base": checkpoint(), "data": data, "eval_data": data, "compile": False}
    return {**same, "epochs": 2, "batch_size": 16, "save_minutes": 0}


def without_times(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in epoch.items() if name != "seconds"} for epoch in epochs]


KILLED = """
import os, signal, torch, bertc
from bertc.training.loop import Loop
take = Loop._take_step
def take_and_die(self, batch):
    take(self, batch)
    if self.steps == 5:
        os.kill(os.getpid(), signal.SIGKILL)
Loop._take_step = take_and_die
torch.set_num_threads(1)
bertc.finetune("classify", output={output!r}, **{options!r})
"""


def test_a_run_that_was_killed_or_found_a_full_disk_ends_as_one_that_was_not(
    checkpoint: MakeArtifact, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = options_of(checkpoint, write("data.tsv", classes()))
    whole = bertc.finetune("classify", output=tmp_path / "whole", **options)

    killed = tmp_path / "killed"
    texts = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    script = KILLED.format(output=str(killed), options=texts)
    source = Path(bertc.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(source)}, timeout=300
    )
    assert done.returncode == -signal.SIGKILL
    assert not (killed / "config.json").exists()  # no model yet: what is there is not taken for one
    steps: list[int] = []
    take = Loop._take_step

    def take_on_a_full_disk(self: Loop, batch: Any) -> None:
        take(self, batch)
        steps.append(self.steps)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        monkeypatch.setattr(Loop, "_take_step", take_on_a_full_disk)
        with pytest.raises(
            InputError, match=r"cannot write .*killed: .*: make room, and give the command again"
        ):
            bertc.finetune("classify", output=killed, **options)
    finally:
        monkeypatch.undo()
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert steps == [5]  # the step that was taken before the kill, but not saved
    found = bertc.finetune("classify", output=killed, **options)
    assert without_times(found.epochs) == without_times(whole.epochs)
    assert (killed / "model.safetensors").read_bytes() == (whole.folder / "model.safetensors").read_bytes()
