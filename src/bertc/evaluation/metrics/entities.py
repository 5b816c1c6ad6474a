"""The entities that a row of labels means, by the rules of seqeval's default mode."""

from __future__ import annotations

from collections.abc import Sequence

OUTSIDE = "O"

Entity = tuple[str, int, int]
"""Kind, first word, last word."""


def entities(labels: Sequence[str]) -> list[Entity]:
    """Return the entities of a sentence whose labels are O, or a letter, a hyphen and a kind.

    B and S begin one, and so does another letter after O, after E or S, or after another kind: whatever a
    model predicts means something, and IOB1 is read as it is meant.
    """
    found: list[Entity] = []
    before = OUTSIDE
    for place, label in enumerate(labels):
        if label != OUTSIDE:
            if begins(label, before):
                found.append((label[2:], place, place))
            else:
                found[-1] = (*found[-1][:2], place)
        before = label
    return found


def begins(label: str, before: str) -> bool:
    """Tell whether an entity begins at a label that is not O, given the label before it."""
    return label[0] in "BS" or before == OUTSIDE or before[0] in "ES" or before[2:] != label[2:]
