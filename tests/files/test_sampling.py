from __future__ import annotations

from collections import Counter

import pytest

from bertc.files.sampling import reservoir


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 10_000])
def test_takes_as_many_as_asked_each_once(size: int) -> None:
    sample = reservoir(iter(range(size)), 8, seed=3)
    assert len(sample) == len(set(sample)) == min(size, 8)
    assert set(sample) <= set(range(size))


def test_the_seed_decides() -> None:
    first = reservoir(range(1000), 20, seed=1)
    assert first == reservoir(range(1000), 20, seed=1)
    assert first != reservoir(range(1000), 20, seed=2)
    assert first != sorted(first)


def test_every_item_is_equally_likely() -> None:
    counts = Counter(item for seed in range(2000) for item in reservoir(range(20), 5, seed))
    # 500 each on average; the standard deviation is sqrt(2000 * 1/4 * 3/4) = 19.4. Five of them.
    assert all(abs(counts[item] - 500) < 97 for item in range(20))
