"""Raw data becomes the files that other tool-chains read, each with the id of its sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.encoder import Encoder
from bertc.errors import InputError, TruncationWarning
from bertc.files.arrays import PreparedIds, read_arrays
from bertc.prepared.inputs import prepare

Model = Callable[..., Encoder]
Raw = Callable[[str], Path]


def summary(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def ids_of(folder: Path) -> list[list[int]]:
    return [each.ids.tolist() for each in read_arrays(folder) if isinstance(each, PreparedIds)]


@pytest.mark.parametrize("form", ["npy", "bin", "npz"])
def test_ids_are_those_of_the_tokenizer(model: Model, raw: Raw, tmp_path: Path, form: str) -> None:
    engine = model("text")
    counts = prepare(engine, raw("text"), tmp_path / "in", form, kind="text", lengths=[16])
    expected = [each.ids for each in engine.tokenizer(["a text", "another text"]).encodings]
    source = tmp_path / "in" / "npz_datalist.txt" if form == "npz" else tmp_path / "in"
    assert ids_of(source) == expected
    assert counts == {"samples": 2, "sequences": 2, "tokens": sum(map(len, expected))}


def test_a_folder_per_input_has_int64_of_one_length(model: Model, raw: Raw, tmp_path: Path) -> None:
    prepare(model("text"), raw("text"), tmp_path / "in", "bin", kind="text", lengths=[16])
    prepare(model("text"), raw("text"), tmp_path / "npy", "npy", kind="text")
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        assert (tmp_path / "in" / name / "000001.bin").stat().st_size == 16 * 8
        array = np.load(tmp_path / "npy" / name / "000001.npy")
        assert array.dtype == np.int64 and array.ndim == 2 and len(array) == 1


@pytest.mark.parametrize("count", [3, 6])
def test_a_data_list_has_three_arrays_or_six(model: Model, raw: Raw, tmp_path: Path, count: int) -> None:
    prepare(model("text"), raw("text"), tmp_path / "in", "npz", kind="text", arrays=count, lengths=[16])
    assert (tmp_path / "in" / "npz_datalist.txt").read_text() == "npz/000000.npz\nnpz/000001.npz\n"
    with np.load(tmp_path / "in" / "npz" / "000000.npz") as found:
        assert list(found) == [f"input_{index}" for index in range(count)]
        assert {array.shape for array in found.values()} == {(1, 16)}
        for index in range(3, count):
            np.testing.assert_array_equal(found[f"input_{index}"], found["input_1"])


def test_each_sequence_is_padded_to_the_least_length_that_holds_it(model: Model, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a\n" + "the cat " * 8 + "\n")
    prepare(model("text"), tmp_path / "a.txt", tmp_path / "in", "npz", kind="text", lengths=[8, 32])
    lengths = [
        len(each.kept) for each in read_arrays(tmp_path / "in" / "npz") if isinstance(each, PreparedIds)
    ]
    assert lengths == [8, 32]


def test_what_is_longer_is_cut_as_the_model_does(model: Model, raw: Raw, tmp_path: Path) -> None:
    with pytest.warns(TruncationWarning):
        prepare(model("classify"), raw("classify"), tmp_path / "cut", "npz", lengths=[16])
    assert [len(each) for each in ids_of(tmp_path / "cut" / "npz")][-1] == 16
    prepare(model("ner"), raw("ner"), tmp_path / "pieces", "npz", lengths=[32])
    files = summary(tmp_path / "pieces")["files"]
    parts = [(each["id"], each["part"], each["parts"]) for each in files.values()]
    count = len(parts) - 2
    assert parts == [("line 1", 0, 1), ("line 5", 0, 1), *(("line 8", part, count) for part in range(count))]
    assert max(each["tokens"] for each in files.values()) == 32
    with pytest.raises(InputError, match="takes at most 64 tokens, not 512"):
        prepare(model("ner"), raw("ner"), tmp_path / "long", "npz", lengths=[512])


def test_ids_are_those_of_the_data(model: Model, tmp_path: Path) -> None:
    rows = [{"id": f"x{index}", "score": index, "sentence1": "a", "sentence2": "b"} for index in range(3)]
    (tmp_path / "sts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    prepare(model("sts"), tmp_path / "sts.jsonl", tmp_path / "in", "npz")
    found = summary(tmp_path / "in")
    parts = [(each["id"], each["part"]) for each in found["files"].values()]
    assert parts == [(f"x{index}", part) for index in range(3) for part in (0, 1)]
    assert found["complete"] is True and found["data"]["kind"] == "sts"
    assert len(found["data"]["sha256"]) == len(found["model"]["weights_sha256"]) == 64


def test_two_samples_with_one_id_are_refused(model: Model, tmp_path: Path) -> None:
    row = {"id": "x", "score": 1, "sentence1": "a", "sentence2": "b"}
    (tmp_path / "sts.jsonl").write_text("\n".join(json.dumps({**row, "score": index}) for index in range(2)))
    with pytest.raises(InputError, match=r"sts.jsonl, line 2: the id 'x' is that of .*sts.jsonl, line 1 too"):
        prepare(model("sts"), tmp_path / "sts.jsonl", tmp_path / "in", "npz")
    (tmp_path / "texts.jsonl").write_text('{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n')
    with pytest.raises(InputError, match=r"texts.jsonl, record 1: the id '1' is that of"):
        prepare(model("text"), tmp_path / "texts.jsonl", tmp_path / "in", "npz", kind="text")
    assert not (tmp_path / "in").exists()


def test_nothing_is_left_where_the_data_is_wrong(model: Model, tmp_path: Path) -> None:
    for name, content, message in (
        ("a.tsv", "label\tsentence\nfine\ta\n", "a.tsv, line 2, column label: the label 'fine' is none of"),
        ("b.txt", "", "b.txt: no texts"),
    ):
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=message):
            prepare(
                model("classify"),
                tmp_path / name,
                tmp_path / "in",
                "npy",
                kind="text" if name == "b.txt" else None,
            )
    assert not (tmp_path / "in").exists()


def test_an_embedder_has_no_sequences_of_rankings(
    model: Callable[..., Encoder], raw: Callable[[str], Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="an embedder is given each document once for all queries"):
        prepare(model("sts"), raw("rerank"), tmp_path / "in", "npy", kind="rerank")
