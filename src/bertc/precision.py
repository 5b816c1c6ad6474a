"""The precisions, one row each: what nodes compute in and tables are stored in. Imports nothing of bertc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

FP32, BF16, FP16, INT8, INT7 = "fp32", "bf16", "fp16", "int8", "int7"
"""The names of the precisions, as recipes, certificates and command lines spell them."""


@dataclass(frozen=True)
class Precision:
    """One row of the table: the facts about a precision."""

    name: str
    bytes: int
    """The bytes that a number takes in a file."""
    significant_bits: int
    """The bits of a number that a node rounds to; they rank precisions, and what is chosen gets measured."""
    table: str
    """The precision of a table that is asked to be in this one: fp16 is finer than bf16 at the same size, and
    7 bits would be no smaller than 8."""
    form: str
    """The precision in which a layer takes its input and attention computes, and the suffix of the linear op;
    empty where no node computes in it."""
    fallback: str | None
    """The next precision with more bits, for nodes that compute."""
    table_fallback: str | None = None
    """The next precision with more bits, for tables."""
    weight_bits: int | None = None
    """The bits of weights that multiply 8-bit inputs; None for floating point."""


PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        row.name: row
        for row in (
            Precision(FP32, 4, 24, table=FP32, form=FP32, fallback=None),
            Precision(FP16, 2, 12, table=FP16, form="", fallback=FP32, table_fallback=FP32),
            Precision(BF16, 2, 9, table=FP16, form=BF16, fallback=FP32),
            Precision(
                INT8,
                1,
                8,
                table=INT8,
                form=INT8,
                fallback=BF16,
                table_fallback=FP16,
                weight_bits=8,
            ),
            Precision(
                INT7,
                1,
                7,
                table=INT8,
                form=INT8,
                fallback=BF16,
                weight_bits=7,
            ),
        )
    }
)
"""The table: the row of each precision by its name, the most exact first."""


@dataclass(frozen=True)
class WeightBound:
    """What it is good for that 8-bit weights are bounded in groups."""

    use: str
    """The processors that such weights are for."""
    cost: str
    """Their cost in accuracy and in speed."""


WEIGHT_BOUNDS: Mapping[str, WeightBound] = MappingProxyType(
    {
        "none": WeightBound(
            "processors with VNNI",
            "none beyond what int8 costs (the certificate); half as fast as pairs with AVX2 and no VNNI",
        ),
        "pairs": WeightBound("all processors", "none beyond what int8 costs (the certificate)"),
        "fours": WeightBound(
            "processors with AVX2 and no VNNI",
            "a fifth more error than pairs (the certificate; docs/accuracy.md); no faster with VNNI",
        ),
    }
)
"""What groups of weights may be bounded in (docs/numerics.md), the weakest bound first."""

LAYER_DTYPES = tuple(name for name, row in PRECISIONS.items() if row.form)
"""The precisions of linear layers."""
DTYPES = tuple(name for name, row in PRECISIONS.items() if row.form == name)
"""The precisions of whole models, and of attention."""
TABLE_DTYPES = tuple(name for name, row in PRECISIONS.items() if row.table == name)
"""The precisions of embedding tables."""
WEIGHT_BITS: Mapping[str, int] = MappingProxyType(
    {name: row.weight_bits for name, row in PRECISIONS.items() if row.weight_bits is not None}
)
"""The precisions of linear layers that take 8-bit inputs, with the bits of their weights."""


def integers(weight_bits: int) -> Precision:
    """Return the precision whose weights have so many bits. Raises ``StopIteration`` for any but 8 and 7."""
    return next(row for row in PRECISIONS.values() if row.weight_bits == weight_bits)
