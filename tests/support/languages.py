"""Texts of several languages, some longer than the limit of a tiny model."""

from __future__ import annotations

SENTENCES = (
    "The man is playing guitar in a small house by the sea.",
    "A dog and two cats are walking down the street!",
    "John Smith lives in Paris, works in London and was born in New York.",
    "The film was not very good (the plot was terrible), but the acting was great.",
    "Der Hund läuft über die Straße und bellt den Zug an.",
    "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "Où est la bibliothèque ? Elle est à côté de l'hôtel de ville.",
    "El niño comió una manzana; ¿quieres otra?",
    "L'uomo suona la chitarra a Milano, vicino al Duomo.",
    "Мама мыла раму, Иван Петров жил в Москве.",
    "Τη νύχτα κάθεται στο χαλί.",
    "我们在中国北京,上海人民日报的是不了一。",
    "東京は日本の首都です。人口は約1400万人。",
    "서울은 대한민국의 수도이다.",
    "القط يجلس على السجادة في القاهرة.",
    "दिल्ली भारत की राजधानी है।",
    "Ανθ. 2,5 % von 1.000 € — don't  panic…  e-mail: a.b@c.example",
    "emoji \U0001f600\U0001f680 and cafe\u0301 naïve\u00a0façade",
)
TEXTS = (
    *SENTENCES,
    *(f"{first} {second}" for first, second in zip(SENTENCES, SENTENCES[5:], strict=False)),
    *(" ".join(SENTENCES[start : start + 6]) for start in range(0, 18, 2)),
    "a",
    "one two three four five " * 40,
    "john smith in paris london " * 30,
    "北京上海" * 60,
    "word" * 60,
    *(f"the {word} is red and not very {word}ing" for word in ("cat", "piano", "sky", "train", "unseen")),
)
"""Fifty texts."""
