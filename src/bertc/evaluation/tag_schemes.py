"""How labels spell entities: IOB1, IOB2, BIOES and its kin, told apart and brought to one spelling."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bertc.errors import InputError
from bertc.evaluation.metrics.entities import OUTSIDE, begins

SCHEMES = {"BIO": "BI", "BIOES": "BIES", "BILOU": "BILU", "BMES": "BMES", "BMEWO": "BMEW"}
"""Name -> the letters before the hyphen."""
_FINE = frozenset("ESLMUW")
"""Letters that BIO has not."""
_SAME_LETTERS = str.maketrans("LMUW", "EISS")
"""BILOU, BMES and BMEWO, as BIOES calls the same: the letters that the rules for entities know."""
_COARSE = str.maketrans("ES", "IB")
"""BIOES, as IOB2 calls the same."""


def is_entity(label: str) -> bool:
    """Tell whether a label is a letter, a hyphen and a kind."""
    return len(label) > 2 and label[1] == "-" and "A" <= label[0] <= "Z"


def kinds(labels: Iterable[str]) -> set[str]:
    """Return PER for B-PER; nothing for O, and for what is no label of an entity."""
    return {label[2:] for label in labels if is_entity(label)}


def check_scheme(places: dict[str, str]) -> None:
    """Raise ``InputError`` if labels, each with its first place, are not of one scheme."""
    letters: dict[str, str] = {}
    for label, place in places.items():
        if not is_entity(label):
            continue
        for letter, other in letters.items():
            if not any({letter, label[0]} <= set(each) for each in SCHEMES.values()):
                raise InputError(
                    f"{place}: {label}, but {places[other]} has {other}: the file mixes tag schemes, write "
                    f"all labels in one of {', '.join(SCHEMES)}"
                )
        if not any(label[0] in each for each in SCHEMES.values()):
            raise InputError(f"{place}: {label} begins with no letter of {', '.join(SCHEMES)}")
        letters.setdefault(label[0], label)


def spell_alike(
    data: Sequence[Sequence[str]], model: Sequence[Sequence[str]], labels: Iterable[str]
) -> tuple[list[list[str]], list[list[str]]]:
    """Return sentences of labels of the data and of a model in one spelling, so that equal labels mean equal.

    ``labels`` are all that the model may give. What is no label of an entity counts as O. Where one of the
    two has finer letters, or begins entities with I, both are spelled as IOB2.
    """
    found = {label for sentence in data for label in sentence}
    fine = [any(is_entity(each) and each[0] in _FINE for each in some) for some in (found, labels)]
    letters = dict(_SAME_LETTERS)
    if fine[0] != fine[1]:
        letters = {letter: _COARSE.get(same, same) for letter, same in (_SAME_LETTERS | _COARSE).items()}
    both = [[_spell(sentence, letters) for sentence in some] for some in (data, model)]
    if _is_iob1(both[0]) != _is_iob1(both[1]):
        both = [[_to_iob2(sentence) for sentence in some] for some in both]
    return both[0], both[1]


def _spell(labels: Sequence[str], letters: dict[int, int]) -> list[str]:
    return [label[0].translate(letters) + label[1:] if is_entity(label) else OUTSIDE for label in labels]


def _is_iob1(sentences: Sequence[Sequence[str]]) -> bool:
    """Tell whether entities begin with I, and with B only right after another of their kind."""
    iob1 = False
    for sentence in sentences:
        before = OUTSIDE
        for label in sentence:
            if label != OUTSIDE and (before == OUTSIDE or before[2:] != label[2:]):
                if label[0] != "I":
                    return False
                iob1 = True
            before = label
    return iob1


def _to_iob2(labels: Sequence[str]) -> list[str]:
    pairs = zip(labels, [OUTSIDE, *labels], strict=False)
    return [
        OUTSIDE if label == OUTSIDE else ("B" if begins(label, before) else "I") + label[1:]
        for label, before in pairs
    ]
