"""What ``make demo`` advises on a processor that has AVX2 and no VNNI."""

from __future__ import annotations

import pytest
from demo import Row, advice


def row(dtype: str, cosine: float, speed: float) -> Row:
    return Row(dtype, "", 23.0, 82.0, 82.0, cosine, speed, 0.2)


@pytest.mark.parametrize(("speed", "recommended"), [(120.0, "recommend avx2"), (101.0, "recommend int8")])
def test_the_preset_is_recommended_where_it_is_faster(speed: float, recommended: str) -> None:
    found = advice([row("fp32", 1.0, 50.0), row("int8", 0.9995, 100.0), row("avx2", 0.9993, speed)])
    assert recommended in found
    assert f"{speed / 100:.2f} times as fast as int8" in found and "1.40 times as far from fp32" in found
