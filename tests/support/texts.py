"""Fifty texts of several languages and lengths, for comparisons with other libraries."""

from __future__ import annotations

import random

_WORDS = (
    "the man plays a good piano in a big house on the blue street",
    "Das große Haus am Meer ist nicht sehr grün, sagt der Mann.",
    "un très bon film, l'acteur joue bien à Paris!",
    "我们在中国北京上海人民日报的是不了一",
    "Москва и Париж: два больших города (1812-2024)",
    "これは日本語の文です。東京は大きい。",
    "مرحبا بالعالم كيف حالك",
    "नमस्ते दुनिया, यह एक वाक्य है",
    "İstanbul'da ne kadar güzel bir gün",
    "Το σπίτι είναι μεγάλο — ναι; όχι…",  # noqa: RUF001
)
_LENGTHS = (1, 3, 8, 20, 200)


def fifty_texts() -> list[str]:
    """Return ten languages in five lengths, from one word to several hundred; the same each time."""
    drawn = random.Random(0)
    texts = []
    for sentence in _WORDS:
        words = sentence.split() if " " in sentence else list(sentence)
        for length in _LENGTHS:
            texts.append(" ".join(drawn.choice(words) for _ in range(length)))
    return texts
