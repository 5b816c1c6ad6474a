from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.evaluation import sts
from bertc.runtime.tokenization import TokenCounts

LINES = [
    "main\tfile\t2012\t0001\t5.000\tA plane.\tAn air plane.",
    'main\tfile\t2012\t0004\t0\tA "man" plays.\tNo\u2028body.\textra\tcolumns',
    "main\tfile\t2012\t0005\t2.5\ta\tb",
]


class Angles:
    """A peer without token counts: turns the n-th pair by n times 60 degrees."""

    def encode(self, inputs: Any) -> Any:
        angles = np.array([index // 2 * np.pi / 3 * (index % 2) for index in range(len(inputs))])
        return 3 * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def write(tmp_path: Path, lines: list[str], end: str = "\n") -> Path:
    path = tmp_path / "sts.csv"
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_columns_are_tab_separated_without_quoting(tmp_path: Path, end: str) -> None:
    pairs = sts.read(write(tmp_path, LINES, end))
    assert pairs == [
        ("A plane.", "An air plane.", 5.0, "line 1"),
        ('A "man" plays.', "No\u2028body.", 0.0, "line 2"),
        ("a", "b", 2.5, "line 3"),
    ]


def test_a_header_names_the_columns(tmp_path: Path) -> None:
    path = write(tmp_path, ["index\tsentence1\tsentence2\tscore", "0\ta\tb\t1", "1\tc\td\t2"])
    assert sts.read(path) == [("a", "b", 1.0, "line 2"), ("c", "d", 2.0, "line 3")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sts.csv", 'score,sentence1,sentence2,id\n1,"a, ""b""",c,x\n2,d,e,y\n'),
        (
            "sts.jsonl",
            '{"score": 1, "sentence1": "a, \\"b\\"", "sentence2": "c", "id": "x"}\n'
            '{"score": 2.0, "sentence1": "d", "sentence2": "e", "id": "y"}\n',
        ),
    ],
)
def test_other_tables_name_their_columns(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert sts.read(path) == [('a, "b"', "c", 1.0, "x"), ("d", "e", 2.0, "y")]


def test_correlations_of_cosines(tmp_path: Path) -> None:
    result = sts.evaluate(Angles(), write(tmp_path, LINES))
    # cosines 1, 1/2, -1/2 against scores 5, 0, 2.5
    assert result.metrics == {
        "pearson": pytest.approx(100 * np.corrcoef([1, 0.5, -0.5], [5, 0, 2.5])[0, 1]),
        "spearman": pytest.approx(50.0),
    }
    assert result.counts == {"samples": 3, "pairs": 3}
    intervals = {name: list(ends) for name, ends in result.intervals.items()}
    expected = {"metrics": dict(result.metrics), "counts": dict(result.counts), "intervals": intervals}
    assert result.to_dict() == expected


def test_tokens_are_counted_where_the_engine_can(tmp_path: Path) -> None:
    class Counting(Angles):
        def count_tokens(self, inputs: Any, *, truncate: bool = True) -> TokenCounts:
            assert truncate
            return TokenCounts(10 * len(inputs), 1)

    counts = sts.evaluate(Counting(), write(tmp_path, LINES)).counts
    assert counts == {"samples": 3, "pairs": 3, "tokens": 60, "truncated": 1}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([*LINES, "a\tb"], r"sts.csv, line 4: 2 columns"),
        ([LINES[0], "a\tb\tc\td\tfive\ts\tt"], r"line 2, column 5: the score is 'five'"),
        ([LINES[0], "a\tb\tc\td\tnan\ts\tt"], r"line 2, column 5: the score is 'nan'"),
        ([], "0 pairs"),
        (LINES[:1], "1 pairs"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        sts.read(write(tmp_path, lines))


def test_no_correlation_with_a_constant(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all the same"):
        sts.evaluate(Angles(), write(tmp_path, [LINES[0]] * 3))
