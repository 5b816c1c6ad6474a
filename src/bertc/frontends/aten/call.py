"""What the functions of PyTorch's import table are given: one call of an op, its arguments by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bertc.errors import NodeError
from bertc.foreign.typed_builder import TypedBuilder
from bertc.primitives.dim import Dim, Shape, of_sizes

Array = np.ndarray[Any, Any]


class Value(str):
    """A tensor: the name of its value in the foreign graph. Other arguments are objects and ``Dim``s."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class Call:
    """One call of an op."""

    builder: TypedBuilder
    arguments: Mapping[str, Any]
    """By the names of the op's schema; those that it is not given have their defaults, or are absent."""
    where: str
    """The call, for messages."""

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument; the default for one that is absent or None."""
        found = self.arguments.get(name)
        return default if found is None else found

    def __getitem__(self, name: str) -> str:
        """Return a tensor. Raises ``CheckpointError``."""
        return self.tensor(self.arguments.get(name), name)

    def tensor(self, argument: Any, name: str) -> str:
        """Return an argument as a tensor: numbers become constants. Raises ``CheckpointError``."""
        if isinstance(argument, Value):
            return argument
        if isinstance(argument, Dim):
            return self.builder.constant(of_sizes([argument]).reshape(()))
        if isinstance(argument, bool | int | float):
            return self.builder.constant(
                np.asarray(argument, np.float32 if isinstance(argument, float) else None)
            )
        raise self.error(f"its argument {name!r} is {argument!r}, expected a tensor")

    def shape(self, value: str) -> Shape:
        """Return the shape of a tensor."""
        return self.builder.shapes[value]

    def rank(self, value: str) -> int:
        """Return the number of axes of a tensor."""
        return len(self.builder.shapes[value])

    def kind(self, value: str) -> str:
        """Return "f", "i", "b" (NumPy's kinds), or "O" for sizes, of a tensor's elements."""
        return self.builder.dtypes[value].kind

    def sizes(self, name: str) -> list[Any]:
        """Return a list of numbers and sizes. Raises ``CheckpointError`` if one depends on the input."""
        found = self.get(name, ())
        return [self.number(each, name) for each in (found if isinstance(found, Sequence) else [found])]

    def number(self, argument: Any, name: str) -> Any:
        """Return a number or size; of a tensor, its one element. Raises ``CheckpointError``."""
        if isinstance(argument, Value):
            array = self.builder.known(argument)
            if array is None or array.size != 1:
                raise self.error(f"its argument {name!r} depends on the values of the input")
            return array.item()
        if isinstance(argument, Dim | int | float):
            return argument
        raise self.error(f"its argument {name!r} is {argument!r}, expected a number")

    def axis(self, name: str = "dim", default: int | None = None) -> int:
        """Return the number of an axis."""
        return int(self.number(self.get(name, default), name))

    def axes(self, name: str = "dim") -> tuple[int, ...] | None:
        """Return numbers of axes; None for all."""
        return tuple(map(int, self.sizes(name))) or None

    def shape_constant(self, sizes: Sequence[Any]) -> str:
        """Append sizes as a constant."""
        return self.builder.constant(of_sizes(sizes))

    def dtype(self) -> str | None:
        """Return the dtype that is asked for: NumPy's, all floats being float32; None for none."""
        asked = self.arguments.get("dtype")
        if asked is None:
            return None
        name = _CODES.get(asked) if isinstance(asked, int) else str(asked).removeprefix("torch.")
        if name in _FLOATS:
            return "float32"
        if name not in _CODES.values():
            raise self.error(f"the dtype {asked} is not supported")
        return str(name)

    def promoted(self, *values: str) -> tuple[str, ...]:
        """Return tensors as one kind of number: float32 if one of them is of floats."""
        if "f" not in {self.kind(value) for value in values}:
            return values
        return tuple(
            value if self.kind(value) in "fO" else self.builder.cast(value, "float32") for value in values
        )

    def error(self, problem: str) -> NodeError:
        """Return an error that names the call."""
        return NodeError({self.where: problem})


_CODES = {0: "uint8", 1: "int8", 2: "int16", 3: "int32", 4: "int64", 5: "half", 6: "float", 7: "double"}
_CODES |= {11: "bool", 15: "bfloat16"}
"""PyTorch's number of a dtype, as TorchScript writes it -> its name."""
_FLOATS = ("half", "float", "double", "float16", "float32", "float64", "bfloat16")


Import = Callable[[Call], Any]
"""Appends primitives for a call, and returns its result: a ``Value``, a number, or several."""
