from __future__ import annotations

from pathlib import Path

import pytest
from markdown_tables import describe_machine, shape_tables, table, text_table

from bertc.bench.report import rivals
from tests.bench.fakes import make_report


def test_int8_meets_everyone_and_others_their_like() -> None:
    assert rivals("int8", "fp32") and rivals("int8", "int8") and rivals("int8 fours", "int8")
    assert rivals("bf16", "bf16")
    assert not rivals("bf16", "int8") and not rivals("fp32", "bf16")


def test_a_table_in_markdown() -> None:
    assert table(["a", "b"], [["c", "1"]]) == ["| a | b |", "| --- | ---: |", "| c | 1 |"]


def test_shapes_are_shown_with_the_best_peer() -> None:
    lines = shape_tables(make_report())
    assert "| 8x16 | 8.00 | 8.00 | 0 | 3 % | 2.00 (openvino int8) |" in lines


def test_texts_are_shown_with_accuracy_and_memory() -> None:
    lines = text_table(make_report())
    assert "| `openvino int8` |  | 250 | 250 | 82.00 | 0.99900 | 2 |" in lines
    assert any("one unsorted call: 2.00 (openvino int8) with sorted batches" in line for line in lines)


def test_the_machine_and_its_limits_are_described() -> None:
    text = "\n".join(describe_machine(make_report()))
    assert "Abacus, 2 cores, L1 32K, avx2, beads." in text and "| avx2 | 1 | 4 |" in text


def test_the_page_of_results_has_plots_tables_and_scaling(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    import plot_results

    text = plot_results.page({"abacus": [make_report()]}, tmp_path)
    assert "![abacus-tiny-throughput](plots/abacus-tiny-throughput.png)" in text
    assert (tmp_path / "plots" / "abacus-tiny-texts.png").stat().st_size > 1000
    assert "| `bertc int8` | 250 | 80 | 24 | 56 | 1.95 |" in text
    assert "AVX-512 with VNNI: not measured." in text and "AVX2 without VNNI (`abacus.json`):" in text
    assert "Not measured: ctranslate2 int8: it has no heads." in text
