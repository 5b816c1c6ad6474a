from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.files.arrays import PreparedIds, PreparedVectors, is_prepared, read_arrays

IDS = np.array([[5, 6, 7, 0], [8, 9, 0, 0]])
MASK = np.array([[1, 1, 1, 0], [1, 1, 0, 0]])
TYPES = np.array([[0, 0, 1, 0], [0, 1, 0, 0]])
VECTORS = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)


def read(path: Path) -> list[tuple[Any, ...]]:
    """Ids and types of each sample as lists, or its vectors."""
    return [
        (each.vectors,)
        if isinstance(each, PreparedVectors)
        else (each.ids.tolist(), None if each.type_ids is None else each.type_ids.tolist())
        for each in read_arrays(path)
    ]


EXPECTED = [([5, 6, 7], [0, 0, 1]), ([8, 9], [0, 1])]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
@pytest.mark.parametrize(
    "names",
    [
        ("input_ids", "attention_mask", "token_type_ids"),
        ("input_ids", "input_mask", "segment_ids"),
        ("input_0", "input_1", "input_2"),
    ],
)
def test_arrays_by_name_or_in_order(tmp_path: Path, names: tuple[str, ...], dtype: type) -> None:
    arrays = (IDS.astype(dtype), MASK.astype(dtype), TYPES.astype(dtype))
    np.savez(tmp_path / "a.npz", **dict(zip(names, arrays, strict=True)))
    assert read(tmp_path / "a.npz") == EXPECTED


def test_six_inputs_for_a_model_of_three(tmp_path: Path) -> None:
    orders = ((IDS, MASK, TYPES, MASK, MASK, MASK), (IDS, TYPES, MASK, MASK, MASK, MASK))
    for index, order in enumerate(orders):
        path = tmp_path / f"{index}.npz"
        np.savez(path, **{f"input_{i}": array[0] for i, array in enumerate(order)})
        assert read(path) == EXPECTED[:1]
    copies = {"attention_mask1": MASK, "attention_mask2": MASK}
    np.savez(tmp_path / "c.npz", input_ids=IDS, attention_mask=MASK, token_type_ids=TYPES, **copies)
    assert read(tmp_path / "c.npz") == EXPECTED


def test_ids_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", IDS[0, :3])
    np.save(tmp_path / "two.npy", IDS.astype(np.float32))
    assert read(tmp_path / "one.npy") == [([5, 6, 7], None)]
    assert read(tmp_path / "two.npy") == [([5, 6, 7, 0], None), ([8, 9, 0, 0], None)]


def test_vectors(tmp_path: Path) -> None:
    np.save(tmp_path / "0.npy", VECTORS[:1])
    np.save(tmp_path / "1.npy", VECTORS[0].astype(np.float64))
    for (found,) in read(tmp_path):
        np.testing.assert_array_equal(found, VECTORS[0])
    np.savez(tmp_path / "masked.npz", inputs_embeds=VECTORS, attention_mask=MASK)
    first, second = read(tmp_path / "masked.npz")
    np.testing.assert_array_equal(first[0], VECTORS[0, :3])
    np.testing.assert_array_equal(second[0], VECTORS[1, :2])


def test_folders_are_read_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        np.save(tmp_path / f"{number}.npy", np.array([number, 0]))
    (tmp_path / "labels.txt").write_text("not an array")
    assert [ids for ids, _ in read(tmp_path)] == [[1, 0], [2, 0], [10, 0]]


def test_lists_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "npz").mkdir()
    for index in range(2):
        np.savez(tmp_path / "npz" / f"test_{index}.npz", input_ids=IDS[index])
    listing = tmp_path / "npz_datalist.txt"
    listing.write_text("npz/test_1.npz\nnpz/test_0.npz\n")
    assert [ids for ids, _ in read(listing)] == [[8, 9, 0, 0], [5, 6, 7, 0]]
    (tmp_path / "lists").mkdir()
    elsewhere = listing.rename(tmp_path / "lists" / listing.name)
    monkeypatch.chdir(tmp_path)
    assert [ids for ids, _ in read(elsewhere)] == [[8, 9, 0, 0], [5, 6, 7, 0]]


@pytest.mark.parametrize("suffix", [".npy", ".bin"])
def test_a_folder_per_input(tmp_path: Path, suffix: str) -> None:
    for name, arrays in {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES}.items():
        (tmp_path / name).mkdir()
        for index, array in enumerate(arrays):
            file = tmp_path / name / f"{index}{suffix}"
            array.astype(np.int64).tofile(file) if suffix == ".bin" else np.save(file, array)
    assert read(tmp_path) == EXPECTED


def make_folders(folder: Path) -> None:
    for name in ("input_ids", "attention_mask"):
        (folder / name).mkdir()
        for index in range(2):
            np.save(folder / name / f"{index}.npy", IDS[index] if name == "input_ids" else MASK[index])


def test_what_is_no_array_in_a_folder_per_input_is_passed_over(tmp_path: Path) -> None:
    make_folders(tmp_path)
    (tmp_path / "input_ids" / "labels").write_text("0 1")
    assert [ids for ids, _ in read(tmp_path)] == [[5, 6, 7], [8, 9]]


@pytest.mark.parametrize(
    ("lacking", "there"), [("attention_mask", "input_ids"), ("input_ids", "attention_mask")]
)
def test_each_input_needs_a_file_for_each_sample(tmp_path: Path, lacking: str, there: str) -> None:
    make_folders(tmp_path)
    (tmp_path / lacking / "1.npy").unlink()
    with pytest.raises(InputError, match=rf"{lacking}: no file 1.npy, but {there} has one \(1 such\)"):
        read(tmp_path)


def test_a_list_that_names_a_missing_file_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "0.npy").write_bytes(b"not an array, which would be told if it were opened")
    (tmp_path / "list.txt").write_text("0.npy\n\n1.npy\n")
    with pytest.raises(
        InputError, match=r"list.txt, line 3: there is no file 1.npy, neither beside the list"
    ):
        read(tmp_path / "list.txt")


def test_a_bin_file_has_whole_numbers_of_64_bits(tmp_path: Path) -> None:
    (tmp_path / "input_ids").mkdir()
    (tmp_path / "input_ids" / "0.bin").write_bytes(b"123456789")
    with pytest.raises(InputError, match=r"0.bin: not an array file of numbers of int64"):
        read(tmp_path)


def test_samples_are_named_after_files_and_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", IDS[:1])
    np.savez(tmp_path / "two.npz", input_ids=IDS, attention_mask=MASK)
    found = [each for each in read_arrays(tmp_path) if isinstance(each, PreparedIds)]
    assert [each.name for each in found] == ["one", "two_0", "two_1"]
    assert [each.kept.tolist() for each in found[1:]] == MASK.astype(bool).tolist()


def test_prepared_data_is_told_from_texts(tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a sentence\n")
    (tmp_path / "list.txt").write_text("x/0.npz\n")
    (tmp_path / "empty.txt").write_text("")
    assert not is_prepared(tmp_path) and not is_prepared(tmp_path / "texts.txt")
    assert not is_prepared(tmp_path / "empty.txt")
    assert is_prepared(tmp_path / "list.txt") and is_prepared(tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", IDS)
    assert is_prepared(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"attention_mask": MASK}, "no input_ids, it has attention_mask"),
        ({"input_ids": IDS, "attention_mask": MASK[:1]}, "arrays of different shapes"),
        ({"input_ids": IDS[None]}, r"input_ids have shape \(1, 2, 4\), expected \[samples, length\]"),
        ({"input_ids": IDS + 0.5}, "ids must be whole numbers"),
        ({"input_ids": -IDS}, "ids must be whole numbers from 0"),
        ({"input_ids": IDS << 40}, "that fit 32 bits"),
        ({"embeddings": VECTORS * np.inf}, "not finite"),
        ({"embeddings": VECTORS[None]}, "embeddings have shape"),
        ({"input_ids": np.array([None])}, "not an array file of numbers"),
        ({"input_ids": IDS, "attention_mask": MASK * -1e4}, "row 0: the mask has numbers other than 0 and 1"),
        (
            {"input_ids": IDS, "attention_mask": MASK, "token_type_ids": TYPES - 1},
            "token_type_ids must be whole",
        ),
        ({"input_ids": IDS.astype(str)}, "input_ids are <U21: expected numbers"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_files_that_are_no_arrays_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    for content in (b"", b"hello", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=name):
            read(path)
    with pytest.raises(InputError, match=r"missing.npy"):
        read(tmp_path / "missing.npy")
