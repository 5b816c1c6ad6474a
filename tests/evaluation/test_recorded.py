"""Outputs of other tools are scored as if a model had just given them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.evaluation import classification, sts
from bertc.evaluation.recorded import RecordedLogits, RecordedVectors, is_recorded

Array = np.ndarray[Any, Any]

LABELS = ("negative", "positive")
LOGITS = np.array([[2.0, 1.0], [0.5, 3.0], [1.0, 1.5]] + [[1.0, 0.0]] * 9, np.float32)


def write(folder: Path, form: str) -> Path:
    """One file per sample, as tools name them; the order of names is not that of numbers."""
    folder.mkdir()
    if form == "whole.npy":
        np.save(folder / form, LOGITS)
        return folder / form
    for number, row in enumerate(LOGITS):
        if form == "npy":
            np.save(folder / f"sst2-sample{number}.npy", row[None])
        elif form == "npz":
            np.savez(folder / f"{number:06d}.npz", output_0=row)
        else:
            row.tofile(folder / f"{number}_0.bin")
    (folder / "summary.json").write_text("{}")
    return folder


@pytest.mark.parametrize("form", ["npy", "npz", "bin", "whole.npy"])
def test_logits_of_any_form_are_decisions(tmp_path: Path, form: str) -> None:
    outputs = write(tmp_path / "outputs", form)
    data = tmp_path / "dev.tsv"
    data.write_text("label\tsentence\n" + "0\ta\n1\tb\n0\tc\n" + "0\td\n" * 9)
    assert is_recorded(outputs)
    result = classification.evaluate(RecordedLogits(outputs, LABELS), data, LABELS)
    assert result.metrics["accuracy"] == pytest.approx(100 * 11 / 12)


def test_vectors_are_those_of_sentences_in_their_order(tmp_path: Path) -> None:
    data = tmp_path / "sts.tsv"
    data.write_text("score\tsentence1\tsentence2\n5\ta\tb\n0\tc\td\n3\te\tf\n")
    angles = np.array([0, 0, 0, 2, 0, 1])
    np.save(tmp_path / "vectors.npy", np.stack([np.cos(angles), np.sin(angles)], axis=1))
    assert sts.evaluate(RecordedVectors(tmp_path / "vectors.npy"), data).metrics["spearman"] == 100


def test_scores_of_pairs(tmp_path: Path) -> None:
    data = tmp_path / "sts.tsv"
    data.write_text("score\tsentence1\tsentence2\n5\ta\tb\n0\tc\td\n3\te\tf\n")
    np.save(tmp_path / "scores.npy", np.array([[1.0], [3.0], [2.0]]))
    assert sts.evaluate(RecordedLogits(tmp_path / "scores.npy", ["x"]), data).metrics["spearman"] == -100


def test_models_are_no_outputs(tmp_path: Path) -> None:
    assert not is_recorded(tmp_path) and not is_recorded(tmp_path / "absent")
    write(tmp_path / "outputs", "npy")
    (tmp_path / "outputs" / "config.json").write_text("{}")
    assert not is_recorded(tmp_path / "outputs")


def rename(folder: Path, before: str, after: str) -> None:
    (folder / before).rename(folder / after)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: rename(folder, "sst2-sample3.npy", "x.npy"), "x.npy: no number in the name"),
        (
            lambda folder: rename(folder, "sst2-sample3.npy", "sst2-03.npy"),
            "has 12 outputs, but the data has 3 inputs",
        ),
        (
            lambda folder: rename(folder, "sst2-sample3.npy", "sst2-4.npy"),
            "sst2-sample4.npy and sst2-4.npy are both of sample 4",
        ),
        (lambda folder: (folder / "sst2-sample3.npy").unlink(), "outputs: no output of sample 3"),
        (
            lambda folder: np.save(folder / "sst2-sample3.npy", np.ones(3)),
            "sst2-sample3.npy has 3 numbers, sst2-sample0",
        ),
        (
            lambda folder: np.save(folder / "sst2-sample3.npy", [[np.nan, 1]]),
            "sst2-sample3.npy: .* not finite",
        ),
        (
            lambda folder: np.save(folder / "sst2-sample3.npy", ["a"]),
            "sst2-sample3.npy: not an array file of numbers",
        ),
        (
            lambda folder: (folder / "sst2-sample3.npy").write_bytes(b"x"),
            "sst2-sample3.npy: not an array file",
        ),
        (
            lambda folder: np.savez(folder / "sst2-99.npz", a=[1], b=[2]),
            "sst2-99.npz has the arrays a, b: expected one",
        ),
    ],
)
def test_bad_outputs_are_named(tmp_path: Path, spoil: Any, message: str) -> None:
    folder = write(tmp_path / "outputs", "npy")
    spoil(folder)
    if "99" in message:
        for number in range(12, 99):
            np.save(folder / f"sst2-{number}.npy", LOGITS[0])
    with pytest.raises(InputError, match=message):
        RecordedLogits(folder, LABELS).classify(["a", "b", "c"])


def test_as_many_numbers_as_labels_are_needed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 2 numbers for each sample, the model has 3 labels: a, b, c"):
        RecordedLogits(write(tmp_path / "outputs", "npz"), ["a", "b", "c"])
