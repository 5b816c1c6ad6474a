"""Fifty texts of several languages and scripts, long ones among them."""
# ruff: noqa: RUF001 (letters of other scripts are meant)

from __future__ import annotations

SENTENCES = (
    "The dog plays the piano in a small house near London, and John likes it very much.",
    "It's 3.5% (or 1,000,000?) -- don't ask: state-of-the-art e-mail@example.org!",
    "Ada Lovelace wrote the first program in 1843; Babbage's engine was never built.",
    "Die Straße nach München führt über Österreich, und der Zug fährt täglich.",
    "L'été dernier, Zoé a mangé un gâteau au café, près de l'Hôtel-Dieu.",
    "El niño pequeño vive en España; mañana irá a la montaña.",
    "Il più grande perché è la città dell'università.",
    "A criança não está em São Paulo: foi à praia ontem.",
    "Żółw i jeż poszli do źródła, gdzie świeciło słońce.",
    "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "İstanbul'da yağmur yağıyor, çünkü mevsim güz.",
    "Столица России — Москва; там живёт Анна Ивановна.",
    "Η Αθήνα είναι η πρωτεύουσα της Ελλάδας.",
    "القاهرة هي عاصمة مصر، ويعيش فيها الملايين.",
    "ירושלים היא עיר עתיקה, ובה גרים אנשים רבים.",
    "नई दिल्ली भारत की राजधानी है।",
    "ঢাকা বাংলাদেশের রাজধানী।",
    "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทย",
    "Hà Nội là thủ đô của Việt Nam.",
    "我们在中国北京，上海人民日报的记者是小李。",
    "東京は日本の首都です。カタカナとひらがな。",
    "서울은 대한민국의 수도이다.",
    "Emoji 👩‍👩‍👧 and flags 🇫🇷 are one 🎸 each, combining e\u0301 too.",
    "Zero\u200bwidth, no\u00a0break, a\ttab and\nnew  lines   with spaces.",
    "ﬁne ligatures, ＦＵＬＬ width, and \U0001d4d7 math letters.",
)
TEXTS = (
    *SENTENCES,
    *(f"{a} {b}" for a, b in zip(SENTENCES[::2], SENTENCES[1::2], strict=False)),
    *(" ".join(SENTENCES[start : start + 7]) for start in range(0, 20, 2)),
    " ".join(SENTENCES),
    " ".join(reversed(SENTENCES)),
    "the cat " * 300,
)
"""The sentences by themselves, in pairs, and joined to texts of many hundred tokens."""
