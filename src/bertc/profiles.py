"""The profiles of int8, each for a kind of processor.

``bertc compile --profile`` chooses one by name, and ``bertc show`` tells which one a file has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Profile:
    """What is chosen, and what to know before choosing it."""

    weight_bits: int
    """The recipe's ``weights.bits``."""
    use: str
    """On which processors."""
    cost: str
    """In accuracy and in speed."""


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "vnni": Profile(
            8,
            "processors with VNNI; elsewhere where accuracy matters more than speed",
            "none beyond what int8 costs (the certificate); slower than avx2 where there is no VNNI",
        ),
        "avx2": Profile(
            7,
            "processors with AVX2 and no VNNI",
            "one bit of each weight: about twice the error of 8 bits (the certificate; docs/accuracy.md); "
            "no faster where there is VNNI",
        ),
    }
)
"""By name, the default first. Files of each run on every processor, with the same integer sums."""
