"""The tensors of a checkpoint by the names that a family uses."""

from __future__ import annotations

from collections.abc import Mapping

from bertc.architectures import Family
from bertc.frontends.checkpoint import StoredTensor


def by_plain_name(tensors: Mapping[str, StoredTensor], family: Family) -> dict[str, StoredTensor]:
    """Tensors by name without the family's prefixes, with today's names of what was once called otherwise."""
    plain: dict[str, StoredTensor] = {}
    for name, tensor in tensors.items():
        for old, new in family.renames.items():
            name = f"{name.removesuffix(old)}{new}" if name.endswith(old) else name
        prefix = next((prefix for prefix in family.prefixes if name.startswith(prefix)), "")
        plain.setdefault(name.removeprefix(prefix), tensor)
    return plain
