from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.bench.peers.base import Peer, feed, pad
from bertc.bench.peers.source import Source
from tests.support.answers import make_info
from tests.support.tiny_models import make_tokenizer

Array = np.ndarray[Any, Any]


class CountingPeer(Peer):
    """Answers with the number of real tokens and with the sum of the ids, as padded."""

    library = "numpy"
    packages = ("numpy",)
    dtypes = ("fp32",)
    shapes: tuple[tuple[int, int], ...] = ()

    @classmethod
    def convert(cls, source: Source, dtype: str) -> Path:  # noqa: ARG003
        return source.checkpoint

    def bind(self, input_ids: Array, attention_mask: Array) -> Callable[[], Array]:
        self.shapes += ((input_ids.shape[0], input_ids.shape[1]),)
        return lambda: np.stack([attention_mask.sum(axis=1), input_ids.sum(axis=1)], axis=1)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "config.json").write_text("{}")
    info = make_info("embedding", max_seq_length=6)
    return Source(tmp_path / "checkpoint", info, make_tokenizer().to_str(), tmp_path / "cache", ())


TEXTS = ["dog cat dog cat dog cat dog", "cat", "dog cat", ""]


@pytest.mark.parametrize(
    ("batch_size", "sort", "shapes"),
    [
        (2, True, ((2, 3), (2, 6))),
        (2, False, ((2, 6), (2, 4))),
        (None, False, ((4, 6),)),
        (1, False, ((1, 6), (1, 3), (1, 4), (1, 2))),
    ],
)
def test_texts_are_batched_padded_and_given_back_in_order(
    source: Source, batch_size: int | None, sort: bool, shapes: tuple[tuple[int, int], ...]
) -> None:
    peer = CountingPeer(source, "fp32", 1)
    answers = peer.encode(TEXTS, batch_size=batch_size, sort=sort)
    assert peer.shapes == shapes
    ids = [encoding.ids for encoding in source.tokenizer().encode_batch(TEXTS)]
    assert answers.tolist() == [[len(row), sum(row)] for row in ids]
    assert answers.dtype == np.float32 and peer.kernel_seconds > 0


def test_padding_is_zero_and_masked() -> None:
    ids, mask = pad([[5, 6, 7], [8]])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    arrays = feed(ids, mask)
    assert list(arrays) == ["input_ids", "attention_mask", "token_type_ids"]
    assert not arrays["token_type_ids"].any()


def test_a_conversion_is_made_once(source: Source) -> None:
    made: list[Path] = []

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "model").write_text("converted")

    first = source.converted("fp32", ("numpy",), make)
    assert source.converted("fp32", ("numpy",), make) == first
    assert (first / "model").read_text() == "converted" and len(made) == 1
    assert source.converted("int8", ("numpy",), make) != first
    assert source.converted("fp32", ("numpy",), make, "a calibration text") != first
    (source.checkpoint / "config.json").write_text('{"other": true}')
    assert source.converted("fp32", ("numpy",), make) != first


def test_a_failed_conversion_leaves_nothing(source: Source) -> None:
    def fail(folder: Path) -> None:
        (folder / "model").write_text("half")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        source.converted("fp32", ("numpy",), fail)
    assert list(source.cache.iterdir()) == []
