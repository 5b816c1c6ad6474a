"""Prepared inputs give what the model gives for raw data, to the last digit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc.encoder import Encoder
from bertc.errors import InputError
from bertc.evaluation.evaluator import compare
from bertc.evaluation.replay import Replay
from bertc.prepared.capture import KINDS
from bertc.prepared.inputs import prepare
from bertc.prepared.running import FORMS, run_prepared

pytestmark = pytest.mark.filterwarnings("ignore::bertc.TruncationWarning")

Model = Callable[..., Encoder]
Raw = Callable[[str], Path]


def source_of(folder: Path, form: str) -> Path:
    return folder / "npz_datalist.txt" if form == "npz" else folder


@pytest.mark.parametrize(
    ("form", "shares", "save_as"),
    [("npy", [], "npz"), ("bin", [1], "bin"), ("npz", [2, 1], "txt"), ("npz", [], "npy")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_raw_data(
    model: Model, raw: Raw, tmp_path: Path, kind: str, form: str, shares: list[int], save_as: str
) -> None:
    engine, data = model(kind), raw(kind)
    lengths = [engine.info.max_seq_length // share for share in shares]
    prepare(engine, data, tmp_path / "in", form, kind=kind, lengths=lengths)
    run_prepared(engine, source_of(tmp_path / "in", form), tmp_path / "out", save_as)
    evaluator, _ = KINDS[kind]
    result, comparison = compare(evaluator(), engine, Replay(engine, tmp_path / "out"), data)
    assert comparison.reference.metrics == result.metrics
    assert comparison.disagreements == 0 and comparison.verdict == "every answer is that of the reference"
    assert result.outcomes is not None and comparison.reference.outcomes is not None
    np.testing.assert_array_equal(result.outcomes.statistics, comparison.reference.outcomes.statistics)


@pytest.mark.parametrize("kind", ["classify", "ner"])
def test_outputs_have_the_shape_of_inputs(model: Model, raw: Raw, tmp_path: Path, kind: str) -> None:
    engine = model(kind)
    prepare(engine, raw(kind), tmp_path / "in", "npy", lengths=[32, 64])
    run_prepared(engine, tmp_path / "in", tmp_path / "out", "npy")
    ids, mask, types = (
        np.load(tmp_path / "in" / name / "000000.npy")
        for name in ("input_ids", "attention_mask", "token_type_ids")
    )
    expected = engine(ids, mask, types).logits
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "000000.npy"), expected)


def test_every_form_has_the_same_numbers(model: Model, raw: Raw, tmp_path: Path) -> None:
    engine = model("sts")
    prepare(engine, raw("sts"), tmp_path / "in", "npy")
    for form in FORMS:
        run_prepared(engine, tmp_path / "in", tmp_path / form, form)
    expected = np.load(tmp_path / "npy" / "000000.npy")
    assert expected.shape == (1, 32) and expected.dtype == np.float32
    np.testing.assert_array_equal(np.fromfile(tmp_path / "bin" / "000000.bin", np.float32), expected[0])
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "txt" / "000000.txt", np.float32), expected[0])
    with np.load(tmp_path / "npz" / "000000.npz") as found:
        np.testing.assert_array_equal(found["sentence_embedding"], expected)


def test_the_summary_says_where_outputs_come_from(model: Model, raw: Raw, tmp_path: Path) -> None:
    engine = model("classify")
    prepare(engine, raw("classify"), tmp_path / "in", "npz")
    counts = run_prepared(
        engine, tmp_path / "in" / "npz_datalist.txt", tmp_path / "out", "npz", command="bertc run"
    )
    found = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert found["complete"] is True and found["command"] == "bertc run"
    assert found["versions"]["bertc"] == bertc.__version__ and found["machine"]["isa"] == engine.session.isa
    assert found["model"]["weights_sha256"] == engine.artifact.weights_sha256
    assert found["output"] == {"name": "logits", "rows": "sequences", "columns": 2, "format": "npz"}
    assert found["counts"] == {"samples": 3, "tokens": counts["tokens"]}
    assert set(found["times"]) == {"seconds", "seconds_in_model", "samples_per_second", "tokens_per_second"}
    assert found["files"]["000002.npz"] == {
        "id": "line 4",
        "part": 0,
        "parts": 1,
        "input": str(tmp_path / "in" / "npz" / "000002.npz"),
        "tokens": 64,
    }


def test_scores_go_by_ids_and_not_by_order(model: Model, tmp_path: Path) -> None:
    engine, data = model("sts"), tmp_path / "sts.jsonl"
    texts = (("x", 3, "the cat", "the dog"), ("y", 1, "a man", "one two"), ("z", 2, "a film", "london paris"))
    lines = [
        json.dumps({"id": name, "score": score, "sentence1": first, "sentence2": second})
        for name, score, first, second in texts
    ]
    data.write_text("\n".join(lines))
    prepare(engine, data, tmp_path / "in", "npz")
    listing = tmp_path / "in" / "npz_datalist.txt"
    listing.write_text("\n".join(reversed(listing.read_text().split())))
    run_prepared(engine, listing, tmp_path / "out", "npy")
    data.write_text("\n".join([lines[2], lines[0], lines[1]]))
    _, comparison = compare(KINDS["sts"][0](), engine, Replay(engine, tmp_path / "out"), data)
    assert comparison.disagreements == 0
    data.write_text("\n".join([*lines, lines[0].replace('"x"', '"w"')]))
    with pytest.raises(InputError, match=r"out has no output of the sample 'w' \(1 such\)"):
        compare(KINDS["sts"][0](), engine, Replay(engine, tmp_path / "out"), data)
    data.write_text("\n".join(lines[:2]))
    with pytest.raises(InputError, match=r"out has outputs of a sample that the data lacks: 'z' \(1 such\)"):
        compare(KINDS["sts"][0](), engine, Replay(engine, tmp_path / "out"), data)


def test_files_of_other_tools_are_named_by_themselves(model: Model, tmp_path: Path) -> None:
    engine = model("classify")
    np.savez(tmp_path / "batch.npz", input_ids=np.array([[2, 5, 3], [2, 6, 3]]))
    run_prepared(engine, tmp_path / "batch.npz", tmp_path / "out", "npy")
    found = json.loads((tmp_path / "out" / "summary.json").read_text())["files"]
    assert {name: facts["id"] for name, facts in found.items()} == {
        "batch_0.npy": "batch_0",
        "batch_1.npy": "batch_1",
    }


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.full((1, 3), 300),
            r"2.npy, sample 2: the id 300, but the table of .* has 300 rows: prepared for",
        ),
        (np.ones((1, 70), np.int64), r"2.npy, sample 2: 70 tokens, but .* takes at most 64: cut it"),
        (np.ones((1, 0), np.int64), r"2.npy, sample 2: it has no token, or the mask keeps none"),
        (np.ones((1, 4, 32)) / 2, r"2.npy holds vectors of 32 numbers, but .* takes token ids"),
        (np.ones((1, 1, 4, 32)), r"2.npy: embeddings have shape \(1, 1, 4, 32\)"),
        (np.array([["a"]]), r"2.npy: .* are <U1: expected numbers"),
    ],
)
def test_a_wrong_array_is_named_and_what_came_before_is_kept(
    model: Model, tmp_path: Path, array: Any, message: str
) -> None:
    (tmp_path / "in").mkdir()
    for index, each in enumerate((np.ones((1, 3), np.int64), np.ones((1, 3), np.int64), array)):
        np.save(tmp_path / "in" / f"{index}.npy", each)
    with pytest.raises(InputError, match=f"{message}.* 2 samples are kept in .*out, marked as partial"):
        run_prepared(model("classify"), tmp_path / "in", tmp_path / "out", "npy")
    with pytest.raises(InputError, match="out is partial"):
        Replay(model("classify"), tmp_path / "out")


def test_two_files_with_one_name_are_refused(model: Model, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "0.npy", np.array([2, 5, 3]))
    (tmp_path / "list.txt").write_text("a/0.npy\nb/0.npy\n")
    with pytest.raises(InputError, match=r"b/0.npy and .*a/0.npy are both called 0: give each its own name"):
        run_prepared(model("classify"), tmp_path / "list.txt", tmp_path / "out", "npy")


def test_a_folder_without_arrays_is_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no samples: there is no .npy, .npz or .bin file"):
        run_prepared(model("classify"), tmp_path, tmp_path / "out", "npy")
    assert not (tmp_path / "out").exists()


def test_a_file_that_was_not_prepared_with_the_others_is_told(model: Model, raw: Raw, tmp_path: Path) -> None:
    engine = model("text")
    prepare(engine, raw("text"), tmp_path / "in", "npz", kind="text")
    (tmp_path / "in" / "npz" / "000001.npz").rename(tmp_path / "in" / "npz" / "x.npz")
    (tmp_path / "in" / "npz_datalist.txt").write_text("npz/x.npz\n")
    with pytest.raises(InputError, match=r"x.npz: the summary.json beside it knows no x: take one"):
        run_prepared(engine, tmp_path / "in" / "npz_datalist.txt", tmp_path / "out", "npy")
