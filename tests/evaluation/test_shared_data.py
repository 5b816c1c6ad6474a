"""The real data sets, where they are: all of them is read, and the score is the one we must reach."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bertc.evaluation import ner, sts

SHARED = Path(os.environ.get("BERTC_SHARED", Path(__file__).parents[3] / "shared"))


def shared(name: str) -> Path:
    path = SHARED / name
    return path if path.exists() else pytest.skip(f"{path} is absent: set BERTC_SHARED")


@pytest.mark.parametrize(("part", "count"), [("train", 5749), ("dev", 1500), ("test", 1379)])
def test_every_pair_is_read(part: str, count: int) -> None:
    assert len(sts.read(shared(f"data/stsbenchmark/sts-{part}.csv"))) == count


def test_every_sentence_is_read() -> None:
    sentences = ner.read(shared("data/peoples_daily/test.txt"))
    assert len(sentences) == 4636
    assert sum(len(sentence.words) for sentence in sentences) == 219_197
    assert len(ner.read(shared("data/peoples_daily/dev.txt"))) == 2318
