"""What the inputs of a foreign graph are for: by their names, or else by what reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bertc.errors import CheckpointError

ROLES: Mapping[str, tuple[str, ...]] = {
    "input_ids": ("input_ids", "ids", "input", "tokens"),
    "attention_mask": ("attention_mask", "input_mask", "mask"),
    "token_type_ids": ("token_type_ids", "segment_ids", "type_ids"),
    "position_ids": ("position_ids", "positions"),
}
"""What inputs are called, by their role; one with another name is known by the table that it looks up."""
_FEW = 16
"""A table of fewer rows is one of token types."""


def find_roles(names: Sequence[str], rows: Mapping[str, int], largest: int, where: str) -> dict[str, str]:
    """Return the role of each input.

    ``rows`` has the rows of the table that an input looks up, if it does, and ``largest`` is the largest
    number of rows of all tables. ``where`` names the source, for messages. Raises ``CheckpointError``.
    """
    found = {
        name: role for name in names for role, known in ROLES.items() if name.lower().split(".")[0] in known
    }
    for name in names:
        if name not in found:
            free = [role for role in _likely(rows.get(name), largest) if role not in found.values()]
            if not free:
                raise CheckpointError(f"{where}: the input {name!r} has no known role: {', '.join(ROLES)}")
            found[name] = free[0]
    if len({*found.values()}) < len(found) or "input_ids" not in found.values():
        raise CheckpointError(
            f"{where}: its inputs are {', '.join(names) or 'none'}: expected input_ids, and any of "
            f"{', '.join([*ROLES][1:])}"
        )
    return found


def _likely(rows: int | None, largest: int) -> Iterator[str]:
    """Yield roles that fit an input: by the rows of the table that it looks up."""
    if rows is None:
        yield "attention_mask"
        return
    if rows >= largest:
        yield "input_ids"
    yield from ("token_type_ids", "position_ids") if rows < _FEW else ("position_ids", "token_type_ids")
