"""Follows a program of ATen ops: what each of its values is in the foreign graph."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Mapping
from typing import Any

from bertc.foreign.typed_builder import TypedBuilder
from bertc.frontends.aten import arithmetic, hosted, movement
from bertc.frontends.aten.call import Call, Import, Value
from bertc.primitives.dim import UnknownSizeError

TABLE: Mapping[str, Import] = {**movement.TABLE, **arithmetic.TABLE, **hosted.TABLE}
"""The function for each op."""
NOTHING = frozenset(
    (
        "_assert_tensor_metadata",
        "_assert_scalar",
        "_assert_async",
        "sym_constrain_range",
        "sym_constrain_range_for_size",
        "warn",
    )
)
"""Ops that check, and compute nothing."""


class Values:
    """The values of a program so far, by its own names for them."""

    def __init__(self, builder: TypedBuilder) -> None:
        self.builder = builder
        self._found: dict[Hashable, Any] = {}
        self._shared: list[Value] = []

    def __setitem__(self, key: Hashable, value: Any) -> None:
        self._found[key] = value

    def __getitem__(self, key: Hashable) -> Any:
        return self._found[key]

    def __contains__(self, key: Hashable) -> bool:
        return key in self._found

    def call(self, op: str, arguments: Mapping[str, Any], where: str, name: str) -> Any:
        """Import the call of an op, and return its result.

        ``where`` is the call for messages, ``name`` that of its node. An op whose name ends in "_" writes
        into its first operand, which is from then on the result. Raises ``CheckpointError``.
        """
        self.builder.begin(name, f"aten.{op}")
        call = Call(self.builder, arguments, where)
        plain, in_place = _plain_name(op)
        if op in NOTHING:
            return None
        if plain not in TABLE:
            close = difflib.get_close_matches(plain, TABLE, 1)
            hint = f"; the nearest is {close[0]}" if close else ""
            raise call.error(f"the op {op!r} is not supported{hint}")
        try:
            result = _marked(TABLE[plain](call))
        except UnknownSizeError:
            raise call.error("a size that it computes differs from batch to batch") from None
        except (KeyError, TypeError, IndexError) as error:
            raise call.error(f"its arguments are not as expected ({error})") from None
        operand = next(iter(arguments.values()), None)
        if isinstance(operand, Value):
            self._share(call, plain, operand, result, in_place=in_place)
        return result

    def _share(self, call: Call, op: str, operand: Value, result: Any, *, in_place: bool) -> None:
        """Remember whose memory a result is: of values that share it, one object stands for all.

        Raises ``CheckpointError`` for a write into a part of a value.
        """
        if in_place:
            if operand in self.builder.constants or any(each is operand for each in self._shared):
                raise call.error(
                    "it writes into a part of another value, which is not supported: make a new one"
                )
            self._found.update({key: result for key, found in self._found.items() if found is operand})
        elif op in movement.VIEWS:
            self._shared += [operand, *(result if isinstance(result, list) else [result])]


def _plain_name(op: str) -> tuple[str, bool]:
    """Return the name of an op without the "_" of one that writes in place, and whether it had one."""
    if op in TABLE or not op.endswith("_"):
        return op, False
    return op[:-1], True


def _marked(result: Any) -> Any:
    return Value(result) if isinstance(result, str) and not isinstance(result, Value) else result
