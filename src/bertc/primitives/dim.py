"""Symbolic sizes: polynomials in the numbers of sequences and of tokens of a padded batch.

They take part in NumPy's object arrays, so that one function evaluates shape arithmetic on numbers and on
symbols. What has no answer for all batches (``length < 7``) raises ``UnknownSizeError``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Monomial = tuple[str, ...]
"""The symbols of a product, sorted: () for a number."""


class UnknownSizeError(Exception):
    """Raised where the answer depends on the batch."""


@dataclass(frozen=True)
class Dim:
    """A sum of products of symbols that are at least 1: monomial -> coefficient, which is not 0."""

    terms: tuple[tuple[Monomial, int], ...]

    @classmethod
    def symbol(cls, name: str) -> Dim:
        """Return a size that is known by its name alone."""
        return cls((((name,), 1),))

    def at(self, sizes: Mapping[str, int]) -> int:
        """Return the number that it is for some numbers of sequences and tokens."""
        total = 0
        for symbols, count in self.terms:
            for symbol in symbols:
                count *= sizes[symbol]
            total += count
        return total

    def __add__(self, other: Any) -> Any:
        terms = dict(self.terms)
        for symbols, count in _terms(other):
            terms[symbols] = terms.get(symbols, 0) + count
        return _simplest(terms)

    def __mul__(self, other: Any) -> Any:
        terms: dict[Monomial, int] = {}
        for left, a in self.terms:
            for right, b in _terms(other):
                symbols = tuple(sorted((*left, *right)))
                terms[symbols] = terms.get(symbols, 0) + a * b
        return _simplest(terms)

    def __floordiv__(self, other: Any) -> Any:
        """Divide without a remainder by a product of symbols and a number."""
        divisor = _terms(other)
        if len(divisor) != 1 or divisor[0][1] == 0:
            raise UnknownSizeError
        symbols, count = divisor[0]
        terms: dict[Monomial, int] = {}
        for each, factor in self.terms:
            left = list(each)
            for symbol in symbols:
                if symbol not in left:
                    raise UnknownSizeError
                left.remove(symbol)
            if factor % count:
                raise UnknownSizeError
            terms[tuple(left)] = factor // count
        return _simplest(terms)

    def __neg__(self) -> Any:
        return self * -1

    def __sub__(self, other: Any) -> Any:
        return self + other * -1

    def __rsub__(self, other: Any) -> Any:
        return self * -1 + other

    __radd__ = __add__
    __rmul__ = __mul__
    __truediv__ = __floordiv__

    def __rfloordiv__(self, other: Any) -> Any:
        if other == self:
            return 1
        raise UnknownSizeError

    __rtruediv__ = __rfloordiv__

    def __lt__(self, other: Any) -> bool:
        difference = self - other
        if isinstance(difference, int):
            return bool(difference < 0)
        smallest, other_way = _smallest(difference), _smallest(difference * -1)
        if smallest is not None and smallest >= 0:
            return False
        if other_way is not None and other_way > 0:
            return True
        raise UnknownSizeError

    def __gt__(self, other: Any) -> bool:
        negative: Any = self * -1
        return bool(negative < other * -1)

    def __ge__(self, other: Any) -> bool:
        return not self < other

    def __le__(self, other: Any) -> bool:
        return not self > other

    def __eq__(self, other: object) -> bool:
        """Return whether they are equal for all batches: sizes are never negative."""
        return isinstance(other, Dim) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(self.terms)

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        parts = [
            "*".join((*((str(count),) if count != 1 or not names else ()), *names))
            for names, count in self.terms
        ]
        return " + ".join(parts)

    __repr__ = __str__


Shape = tuple[Any, ...]
"""The sizes of a value: numbers and ``Dim``s."""


def _terms(value: Any) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(value, Dim):
        return value.terms
    if isinstance(value, (int, np.integer)):
        return (((), int(value)),)
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return (((), int(value)),)
    raise UnknownSizeError


def _simplest(terms: Mapping[Monomial, int]) -> Any:
    """Return the sum as a number where it is one."""
    kept = tuple(sorted((symbols, count) for symbols, count in terms.items() if count))
    if not kept:
        return 0
    return kept[0][1] if len(kept) == 1 and not kept[0][0] else Dim(kept)


def _smallest(dim: Dim) -> int | None:
    """Return the least value, for symbols of 1 and more, if no term is subtracted but a number."""
    if any(count < 0 for symbols, count in dim.terms if symbols):
        return None
    return sum(count for _, count in dim.terms)


def product(sizes: Any) -> Any:
    """Return the product of sizes."""
    total: Any = 1
    for size in sizes:
        total = total * size
    return total


def plain(array: Array) -> Array:
    """Return an array of objects as int64 where it holds no symbol."""
    if array.dtype != object or any(isinstance(each, Dim) for each in array.ravel()):
        return array
    if all(isinstance(each, (bool, np.bool_)) for each in array.ravel()):
        return array.astype(bool)
    whole = all(isinstance(each, (int, np.integer)) for each in array.ravel())
    return array.astype(np.int64 if whole else np.float64)


def of_sizes(sizes: Any) -> Array:
    """Return a vector of sizes: int64, or objects where some are symbols."""
    array = np.empty(len(sizes), object)
    array[:] = [*sizes]
    return plain(array)


def at(array: Array, sizes: Mapping[str, int]) -> Array:
    """Return an array with its symbols replaced by numbers."""
    if array.dtype != object:
        return array
    flat = [each.at(sizes) if isinstance(each, Dim) else each for each in array.ravel()]
    return plain(np.array([*flat, None], object)[:-1].reshape(array.shape))


def shape_at(shape: Shape, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """Return a shape with its symbols replaced by numbers."""
    return tuple(each.at(sizes) if isinstance(each, Dim) else int(each) for each in shape)
