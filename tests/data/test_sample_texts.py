from __future__ import annotations

import unicodedata

from bertc import data


def test_sample_texts_are_distinct_and_clean() -> None:
    texts = data.sample_texts()
    assert len(texts) == len(set(texts)) == 64
    assert all(text == text.strip() and text for text in texts)


def test_sample_texts_cover_many_scripts() -> None:
    characters = set("".join(data.sample_texts()))
    scripts = {unicodedata.name(character).split()[0] for character in characters}
    assert scripts >= {"LATIN", "CYRILLIC", "GREEK", "CJK", "HIRAGANA", "HANGUL", "ARABIC", "DEVANAGARI"}


def test_each_call_gives_a_fresh_list() -> None:
    data.sample_texts().clear()
    assert data.sample_texts()
