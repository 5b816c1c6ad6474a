from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from bertc.errors import InputError
from bertc.ir.formulas import FIRST, LAST, mix_parts, token_places
from bertc.quantize.statistics import FORMAT, SAMPLE_ROWS, EdgeCollector, EdgeStatistics, Statistics

Array = np.ndarray[Any, Any]


def _rows(count: int = 1000, channels: int = 6, *, center: float = 0.0, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return (center + rng.standard_normal((count, channels)) * np.arange(1, channels + 1)).astype(np.float32)


def _collect(x: Array, batch: int = 100, seed: int = 0, places: Array | None = None) -> EdgeStatistics:
    collector = EdgeCollector(x.shape[1], seed)
    for start in range(0, len(x), batch):
        rows = slice(start, start + batch)
        collector.add(x[rows], None if places is None else places[rows])
    return collector.finish()


def _places(lengths: tuple[int, ...] = (1, 9, 20, 70) * 10) -> Array:
    return token_places(np.cumsum([0, *lengths]))


def _sinks(seed: int = 0) -> tuple[Array, Array]:
    """Rows whose first tokens are a large constant, the last a smaller one, and the places of all."""
    x, places = _rows(seed=seed), _places()
    for place, constant in ((FIRST, 300), (LAST, -40)):
        x[places == place] = x[places == place] / 10 + constant
    return x, places


def _assert_of(found: EdgeStatistics, x: Array, rtol: float = 1e-5) -> None:
    """The statistics are those of the rows, as NumPy computes them at once in float64."""
    wide = x.astype(np.float64)
    assert found.rows == len(x)
    np.testing.assert_allclose(found.low, x.min(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.high, x.max(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found.mean, wide.mean(axis=0), rtol=1e-6, atol=1e-6)
    largest = np.cov(wide.T, bias=True).max()
    upper = np.cov(wide.T, bias=True)[np.triu_indices(x.shape[1])]
    np.testing.assert_allclose(found.covariance, upper, rtol=rtol, atol=rtol * largest)
    np.testing.assert_allclose(found.variance(), wide.var(axis=0), rtol=rtol, atol=rtol * largest)
    moment = wide.T @ wide / len(x)
    np.testing.assert_allclose(found.second_moment(), moment, rtol=rtol, atol=rtol * moment.max())


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_statistics_do_not_depend_on_how_rows_come_in_batches(batch: int) -> None:
    x = _rows()
    _assert_of(_collect(x, batch), x)


def test_a_constant_outlier_far_from_zero_does_not_drown_the_covariance() -> None:
    """In float32, 1000^2 has a step of 0.06: products that are not centered would lose a variance of 1."""
    x = _rows(center=1000.0)
    _assert_of(_collect(x), x, rtol=1e-4)


def test_an_affine_change_gives_the_statistics_of_changed_rows() -> None:
    x = _rows()
    multiplier = np.array([1, 2, 0.5, 0.1, 10, 3], np.float32)
    offset = np.array([0, -1, 5, 0.3, 100, 2], np.float32)
    changed = _collect(x).affine(multiplier, offset)
    _assert_of(changed, x * multiplier + offset, rtol=1e-4)
    again = _collect(x * multiplier + offset)
    np.testing.assert_allclose(changed.sample, again.sample, rtol=1e-5)


@pytest.mark.parametrize("order", [2, 4])
def test_mixing_gives_the_statistics_of_mixed_rows(order: int) -> None:
    """All are in the sample: ends of channels that were mixed are known of no others. They enclose zero."""
    x, places = _rows(500, 64, center=3.0), _places()[:500]
    x[places == LAST] += 300
    mixed, again = _collect(x, places=places).mixed(order), _collect(mix_parts(x, order), places=places)
    _assert_same_whole(mixed, mix_parts(x, order))
    for name in (each.name for each in dataclasses.fields(EdgeStatistics)):
        expected, found = getattr(again, name), getattr(mixed, name)
        expected = {"lows": np.minimum, "highs": np.maximum}.get(name, np.add)(expected, 0)
        largest = np.abs(expected).max() if name in ("means", "covariance") else 0
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6 * largest, err_msg=name)


def test_one_part_has_the_statistics_that_it_had() -> None:
    edge = _collect(_rows(20))
    assert edge.mixed(1) is edge


@pytest.mark.parametrize("counts", [(300, 500, 200), (1000, 3, 60)])
@pytest.mark.parametrize("center", [0.0, 1000.0])
def test_merged_statistics_are_those_of_all_rows(counts: tuple[int, ...], center: float) -> None:
    """Means that differ from edge to edge are part of the spread of all."""
    parts = [_rows(count, center=center + 5 * i, seed=i) for i, count in enumerate(counts)]
    edges = [_collect(part) for part in parts]
    merged = EdgeStatistics.merged(edges)
    _assert_of(merged, np.concatenate(parts), rtol=1e-4)
    assert SAMPLE_ROWS - len(parts) < len(merged.sample) <= SAMPLE_ROWS
    taken = [sum(bool((edge.sample == row).all(axis=1).any()) for row in merged.sample) for edge in edges]
    assert taken == [SAMPLE_ROWS * count // sum(counts) for count in counts]
    assert EdgeStatistics.merged(edges[:1]) is edges[0]


def test_merged_statistics_of_few_rows_keep_all_of_them() -> None:
    parts = [_rows(count, seed=count) for count in (50, 7)]
    merged = EdgeStatistics.merged([_collect(part) for part in parts])
    np.testing.assert_array_equal(merged.sample, np.concatenate(parts))


def test_the_sample_is_all_rows_where_there_are_few_and_a_seeded_choice_where_many() -> None:
    few = _rows(50)
    np.testing.assert_array_equal(_collect(few, 7).sample, few)
    many = np.arange(20_000, dtype=np.float32)[:, None]
    sample = _collect(many).sample[:, 0]
    assert len(sample) == SAMPLE_ROWS == len(set(sample))
    assert abs(sample.mean() - many.mean()) < 4 * many.std() / np.sqrt(SAMPLE_ROWS)
    np.testing.assert_array_equal(_collect(many, 333).sample[:, 0], sample)
    assert not np.array_equal(_collect(many, seed=1).sample[:, 0], sample)


def test_channels_that_are_always_zero_are_no_measure_of_outliers() -> None:
    x = np.concatenate([_rows(channels=3), np.zeros((1000, 5), np.float32)], axis=1)
    assert _collect(x).largest_outlier() == _collect(_rows(channels=3)).largest_outlier()
    assert _collect(np.zeros((4, 2), np.float32)).largest_outlier() == 0


@pytest.mark.parametrize("batch", [7, 1000])
def test_places_are_told_apart_and_the_whole_is_that_of_all_rows(batch: int) -> None:
    x, places = _sinks()
    found = _collect(x, batch, places=places)
    _assert_same_whole(found, x)
    for place in range(3):
        rows = x[places == place].astype(np.float64)
        assert found.counts[place] == len(rows)
        np.testing.assert_array_equal(found.lows[place], rows.min(axis=0).astype(np.float32))
        np.testing.assert_array_equal(found.highs[place], rows.max(axis=0).astype(np.float32))
        np.testing.assert_allclose(found.means[place], rows.mean(axis=0), rtol=1e-6, atol=1e-6)
        assert {tuple(row) for row in found.sample[found.sample_places == place]} <= {tuple(r) for r in x}
    assert len(found.first) == 40
    assert len(found.last) == 30
    np.testing.assert_array_equal(found.first, x[places == FIRST])


def _assert_same_whole(found: EdgeStatistics, x: Array) -> None:
    wide = x.astype(np.float64)
    moment = wide.T @ wide / len(x)
    assert found.rows == len(x)
    np.testing.assert_allclose(found.mean, wide.mean(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found.variance(), wide.var(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.second_moment(), moment, rtol=1e-5, atol=1e-5 * np.abs(moment).max())
    np.testing.assert_array_equal(found.low, x.min(axis=0))
    np.testing.assert_array_equal(found.high, x.max(axis=0))


def test_offsets_by_place_give_the_statistics_of_changed_rows_to_full_accuracy() -> None:
    """What is left of a constant of 300 is 0.1: nothing of it may drown in the constant."""
    x, places = _sinks()
    edge = _collect(x, places=places)
    multiplier = np.array([1, 2, 0.5, 0.1, 10, 3], np.float32)
    offsets = (-edge.means * multiplier).astype(np.float32)
    changed, rows = edge.affine(multiplier, offsets), x * multiplier + offsets[places]
    again = _collect(rows, places=places)
    np.testing.assert_allclose(changed.variance(), rows.astype(np.float64).var(axis=0), rtol=1e-4)
    np.testing.assert_allclose(changed.covariance, again.covariance, rtol=1e-3, atol=1e-3)
    for name in ("sample", "first", "last", "lows", "highs"):
        np.testing.assert_allclose(getattr(changed, name), getattr(again, name), rtol=1e-5, atol=1e-4)


def test_merged_places_are_those_of_all_rows() -> None:
    parts = [_sinks(seed) for seed in range(3)]
    x, places = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    merged = EdgeStatistics.merged([_collect(*part[:1], places=part[1]) for part in parts])
    _assert_same_whole(merged, x)
    whole = _collect(x, places=places)
    for name in ("counts", "lows", "highs"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(whole, name))
    np.testing.assert_allclose(merged.means, whole.means, rtol=1e-5)
    assert len(whole.first) - len(parts) < len(merged.first) <= len(whole.first)


def test_nothing_seen_is_an_error() -> None:
    with pytest.raises(InputError, match="calibration saw no rows"):
        EdgeCollector(4, 0).finish()


def test_saved_statistics_load_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "statistics.safetensors"
    edge = _collect(_rows(), places=_places())
    Statistics({"a.b": edge}, {"name": "texts", "samples": 3}).save(path)
    loaded = Statistics.load(path)
    assert dict(loaded.provenance) == {"name": "texts", "samples": 3}
    found = loaded.edges["a.b"]
    assert found.rows == edge.rows
    for name in (each.name for each in dataclasses.fields(EdgeStatistics)):
        np.testing.assert_array_equal(getattr(found, name), getattr(edge, name))


@pytest.mark.parametrize("content", [b"", b"{}", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_any_other_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InputError, match="other holds no calibration statistics"):
        Statistics.load(path)
    with pytest.raises(InputError, match="cannot read"):
        Statistics.load(tmp_path / "absent")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"counts": np.zeros(3, np.int64)}, r"a.b: counts is \[0, 0, 0\]"),
        ({"counts": np.array([60, -10, 0])}, r"a.b: counts is \[60, -10, 0\]"),
        ({"counts": np.array([50, 0])}, r"a.b: counts is \[50, 0\]"),
        ({"counts": np.full(3, 2.5)}, "a.b: counts is float64"),
        ({"counts": np.array([30, 0, 0])}, r"a.b: sample has shape \(50, 6\), expected \(30, 6\)"),
        ({"counts": np.array([40, 10, 0])}, r"a.b: first has shape \(0, 6\), expected \(10, 6\)"),
        ({"lows": np.zeros((3, 5), np.float32)}, r"a.b: highs has shape \(3, 6\), expected \(3, 5\)"),
        ({"means": np.zeros((6, 1))}, r"a.b: means has shape \(6, 1\)"),
        ({"means": np.zeros((3, 6), np.float32)}, "a.b: means is float32"),
        ({"sample_places": np.full(50, 3, np.int8)}, "a.b: sample_places names places that do not exist"),
        ({"covariance": np.zeros((6, 6), np.float32)}, r"covariance has shape \(6, 6\), expected \(21,\)"),
        ({"covariance": np.full(21, -1, np.float32)}, "a.b: .* a variance below 0"),
        ({"sample": np.full((50, 6), np.nan, np.float32)}, "a.b: sample holds NaN"),
        ({"highs": np.full((3, 6), -99, np.float32)}, "a.b: lows is above highs"),
    ],
)
def test_statistics_of_wrong_shapes_are_refused_with_the_edge(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "statistics.safetensors"
    Statistics({"a.b": dataclasses.replace(_collect(_rows(50)), **changes), "c": _collect(_rows())}).save(
        path
    )
    with pytest.raises(InputError, match=f"statistics.safetensors is damaged .*{message}"):
        Statistics.load(path)


@pytest.mark.parametrize(
    "facts", [{}, {"edges": []}, {"edges": 3, "provenance": {}}, {"edges": [], "provenance": 3}]
)
def test_statistics_without_their_facts_are_refused(tmp_path: Path, facts: dict[str, Any]) -> None:
    path = tmp_path / "statistics.safetensors"
    metadata = {"statistics": json.dumps({"format": FORMAT, **facts})}
    save_file({"a/low": np.zeros(1, np.float32)}, path, metadata)
    with pytest.raises(InputError, match="holds no calibration statistics"):
        Statistics.load(path)
