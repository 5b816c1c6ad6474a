from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.compare.outputs import compare_outputs, difference
from bertc.errors import InputError
from bertc.fidelity import LARGEST_DB

Array = np.ndarray[Any, Any]
ROWS = [[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]]


def folder(tmp_path: Path, name: str, **arrays: Any) -> Path:
    path = tmp_path / name
    path.mkdir()
    for stem, values in arrays.items():
        np.save(path / f"{stem}.npy", np.array(values, np.float32))
    return path


def test_figures_by_hand() -> None:
    found = difference("x", np.array([[3.0, 4.0], [1.0, 0.0]]), np.array([[3.0, 4.5], [0.0, 1.0]]))
    assert (found.max, found.mean, found.shape) == (1.0, 2.5 / 4, (2, 2))
    assert found.cosine == pytest.approx(27 / np.sqrt(26 * 30.25))
    assert found.sqnr_db == pytest.approx(10 * np.log10(26 / 2.25))
    assert (found.rows, found.same_argmax) == (2, 1)
    assert found.exceeds(0.5) and not found.exceeds(1.0)


def test_equal_arrays_and_what_has_nothing_to_choose_from() -> None:
    found = difference("x", np.array([2.0]), np.array([2.0]))
    assert (found.max, found.sqnr_db, found.rows) == (0.0, LARGEST_DB, 0) and not found.exceeds(0)
    assert difference("x", np.array(2.0), np.array(2.0)).rows == 0
    assert difference("x", np.zeros((0, 2)), np.zeros((0, 2))).max is None


def test_numbers_that_are_not_finite_are_counted_apart() -> None:
    first = np.array([np.nan, np.inf, np.nan, 1.0, 5.0])
    second = np.array([np.nan, np.inf, 0.0, -np.inf, 5.5])
    found = difference("x", first, second)
    assert found.not_finite == 2 and found.max == found.mean == 0.5 and found.exceeds(9.0)
    assert not difference("x", first[:2], second[:2]).exceeds(0)


def test_folders_are_compared_by_names_in_natural_order(tmp_path: Path) -> None:
    one = folder(tmp_path, "one", s2=ROWS, s10=ROWS, s1=ROWS, gone=ROWS)
    changed = [ROWS[0], [0.25, 3.0, 3.5]]
    other = folder(tmp_path, "other", s2=changed, s10=changed, s1=ROWS, new=ROWS)
    found = compare_outputs(one, other)
    assert [each.name for each in found.differences] == ["s1", "s2", "s10"]
    assert found.first_that_differs is not None and found.first_that_differs.name == "s2"
    assert (found.only_first, found.only_second) == (["gone"], ["new"]) and not found.same
    totals = found.totals()
    assert (totals["compared"], totals["differ"], totals["max"]) == (3, 2, 4.5)
    assert totals["argmax_agreement"] == 4 / 6 and totals["mean"] == pytest.approx(0.5)
    assert json.loads(json.dumps(found.to_dict()))["missing_in_second"] == ["gone"]
    assert compare_outputs(one, other, tolerance=4.5).first_that_differs is None
    assert compare_outputs(one, one).same


def test_endings_and_shapes_of_one_answer_may_differ(tmp_path: Path) -> None:
    rows = np.array(ROWS, np.float32)
    one = folder(tmp_path, "one", a=[ROWS], b=ROWS, c=ROWS)
    other = tmp_path / "other"
    other.mkdir()
    np.savez(other / "a.npz", logits=rows)
    rows.tofile(other / "b.bin")
    (other / "c.txt").write_text("1 -2 0.5\n0.25,3,-1\n\n")
    found = compare_outputs(one, other)
    assert found.same and [each.rows for each in found.differences] == [2, 2, 2]


def test_bin_files_take_their_dtype_and_columns_from_the_caller(tmp_path: Path) -> None:
    one, other = tmp_path / "a.bin", tmp_path / "b.bin"
    np.array(ROWS, np.float16).tofile(one)
    np.array([ROWS[0], ROWS[0]], np.float16).tofile(other)
    (found,) = compare_outputs(one, other, bin_dtype="float16", columns=3).differences
    assert (found.name, found.rows, found.same_argmax) == ("a.bin", 2, 1)
    (found,) = compare_outputs(one, other, bin_dtype="float16").differences
    assert found.rows == 1
    one.write_bytes(b"123")
    with pytest.raises(InputError, match=r"a\.bin: 3 bytes are no whole number of float32"):
        compare_outputs(one, other)


def test_files_of_several_arrays(tmp_path: Path) -> None:
    one, other = folder(tmp_path, "one"), folder(tmp_path, "other")
    np.savez(one / "a.npz", start=np.zeros(3), end=np.ones(3), more=np.ones(3))
    np.savez(other / "a.npz", start=np.zeros(3), end=np.ones(4), odd=np.ones(3))
    found = compare_outputs(one, other)
    assert [each.name for each in found.differences] == ["a:start", "a:end", "a:more", "a:odd"]
    problems = [each.problem for each in found.differences]
    assert problems[:2] == [None, "shapes [3] and [4]"]
    assert all("has no array" in str(problem) for problem in problems[2:])


def test_a_summary_tells_ids(tmp_path: Path) -> None:
    one, other = folder(tmp_path, "one", x0=ROWS, x1=ROWS), folder(tmp_path, "other", y5=ROWS, y6=[[0.0]])
    files: dict[str, Any] = {
        "x0.npy": {"id": "q7", "part": 0, "parts": 1},
        "x1.npy": {"id": 8, "part": 1, "parts": 2},
    }
    (one / "summary.json").write_text(json.dumps({"complete": False, "files": files}))
    (other / "summary.json").write_text(json.dumps({"files": {"y5.npy": {"id": "q7"}, "y6.npy": {}}}))
    found = compare_outputs(one, other)
    assert [each.name for each in found.differences] == ["q7"] and found.differences[0].max == 0
    assert (found.only_first, found.only_second) == (["8 part 1"], ["y6"])
    assert found.to_dict()["partial"] == [str(one)]


def test_summaries_of_other_tools_are_passed_over(tmp_path: Path) -> None:
    one = folder(tmp_path, "one", x=ROWS)
    for text in ("{", "[]", '{"filesinfo": {}}'):
        (one / "summary.json").write_text(text)
        assert compare_outputs(one, one).same


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    one = folder(tmp_path, "one", x=ROWS)
    with pytest.raises(InputError, match=r"has no outputs: no file ends in \.npy"):
        compare_outputs(one, folder(tmp_path, "empty"))
    with pytest.raises(InputError, match="no sample in common: they call them 'x' and 'y'"):
        compare_outputs(one, folder(tmp_path, "two", y=ROWS))
    twice = folder(tmp_path, "three", x=ROWS)
    (twice / "x.txt").write_text("1")
    with pytest.raises(InputError, match=r"x\.txt and x\.npy are both of the sample x"):
        compare_outputs(one, twice)
    (twice / "x.npy").unlink()
    for text in ("one two", ""):
        (twice / "x.txt").write_text(text)
        if text:
            with pytest.raises(InputError, match=r"x\.txt: not an array file of numbers"):
                compare_outputs(one, twice)
        else:
            assert compare_outputs(one, twice).differences[0].problem == "shapes [2, 3] and [0]"
    (one / "summary.json").write_text('{"files": {"z.npy": {"id": "x"}}}')
    with pytest.raises(InputError, match=r"names z\.npy, which is not there"):
        compare_outputs(one, one)


@pytest.mark.parametrize("content", [b"", b"no array", b"PK\x03\x04 no archive"])
def test_damaged_files_are_told(tmp_path: Path, content: bytes) -> None:
    one, other = folder(tmp_path, "one", x=ROWS), folder(tmp_path, "other", x=ROWS)
    (other / "x.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npy: not an array file of numbers"):
        compare_outputs(one, other)


def test_texts_in_arrays_are_no_outputs(tmp_path: Path) -> None:
    one = folder(tmp_path, "one", x=ROWS)
    np.save(one / "x.npy", np.array(["a"]))
    with pytest.raises(InputError, match="it holds <U1"):
        compare_outputs(one, one)
