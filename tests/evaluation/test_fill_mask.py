from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bertc.errors import InputError
from bertc.evaluation import fill_mask
from bertc.evaluation.evaluator import compare, evaluate
from bertc.evaluation.fill_mask import MaskedWords

TEXT = "a b c\n\nd e\n"


class Guesses:
    """Knows one token of each text for sure, and finds the others 1 in ``odds`` probable."""

    def __init__(self, odds: float = 8.0) -> None:
        self.odds = odds

    def score_masked(self, inputs: Any, *, share: float | None, seed: int) -> Any:
        self.asked = inputs, share, seed
        counts = [len(text.split()) for text in inputs]
        return [
            {
                "tokens": np.arange(count),
                "predicted": np.zeros(count, int),
                "log_probabilities": np.where(np.arange(count) == 0, 0, -np.log(self.odds)),
            }
            for count in counts
        ]


def write(tmp_path: Path, text: str = TEXT) -> Path:
    path = tmp_path / "texts.txt"
    path.write_text(text)
    return path


def test_scores_of_masked_tokens(tmp_path: Path) -> None:
    engine = Guesses()
    result = fill_mask.evaluate(engine, write(tmp_path))
    assert engine.asked == (["a b c", "d e"], 0.15, 0)
    # Three of five tokens have a probability of 1/8.
    assert result.metrics == {"pseudo_perplexity": pytest.approx(8**0.6), "accuracy": pytest.approx(40)}
    assert result.counts == {"samples": 2, "masked": 5}
    assert result.facts == {"masks": "15 % of the tokens at once, seed 0"}
    low, high = result.intervals["pseudo_perplexity"]
    assert (low, high) == (pytest.approx(8 ** (1 / 2)), pytest.approx(8 ** (2 / 3)))


def test_options_reach_the_engine(tmp_path: Path) -> None:
    engine = Guesses()
    result = evaluate(MaskedWords(share=None, seed=3), engine, write(tmp_path))
    assert engine.asked[1:] == (None, 3) and result.facts == {"masks": "every token alone, seed 3"}


def test_a_smaller_perplexity_is_better(tmp_path: Path) -> None:
    path = write(tmp_path, "a b c\n" * 40)
    _, comparison = compare(MaskedWords(), Guesses(odds=4), Guesses(), path)
    assert comparison.differences["pseudo_perplexity"].value < 0
    # No answer differs: both find the same tokens, one is surer.
    assert (comparison.disagreements, comparison.better) == (0, 40)
    assert comparison.p < 0.01 and comparison.verdict == "the difference is real: better than the reference"


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_files_without_texts_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"texts\.txt: no texts"):
        MaskedWords().read(write(tmp_path, text))


def test_texts_without_tokens_are_refused(tmp_path: Path) -> None:
    class Blank(Guesses):
        def score_masked(self, inputs: Any, **_: Any) -> Any:
            empty = np.zeros(0)
            return [{"tokens": empty, "predicted": empty, "log_probabilities": empty} for _ in inputs]

    with pytest.raises(InputError, match="no text has a token that can be masked"):
        fill_mask.evaluate(Blank(), write(tmp_path))
