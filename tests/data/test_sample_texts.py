from __future__ import annotations

import unicodedata

from bertc import data


def test_sample_texts_are_distinct_and_clean() -> None:
    texts = data.sample_texts()
    assert len(texts) == len(set(texts)) >= 600
    assert all(text == text.strip() and text for text in texts)


def test_sample_texts_cover_many_scripts() -> None:
    characters = set("".join(data.sample_texts()))
    scripts = {unicodedata.name(character).split()[0] for character in characters}
    assert scripts >= {
        "LATIN",
        "CYRILLIC",
        "GREEK",
        "CJK",
        "HIRAGANA",
        "HANGUL",
        "THAI",
        "ARABIC",
        "DEVANAGARI",
    }


def test_sample_texts_are_short_and_long() -> None:
    words = sorted(len(text.split()) for text in data.sample_texts())
    assert words[0] == 1 and words[len(words) // 2] in range(5, 20) and words[-1] > 80


def test_each_call_gives_a_fresh_list() -> None:
    data.sample_texts().clear()
    assert data.sample_texts()
