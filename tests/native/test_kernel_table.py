"""The kernel table says of each kernel what it needs: a row that says less ends in an illegal instruction."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "native"
KERNELS = NATIVE / "src" / "kernels"
ROWS = re.findall(
    r"^BERTC_KERNEL\(\w+, \w+, needs::k(\w+), (\w+)\)$",
    (KERNELS / "kernels.inc").read_text("utf-8"),
    re.M,
)
"""Needs and function."""

FLAGS = {
    "kAvx2": {"avx2", "fma", "f16c"},
    "kAvxVnni": {"avxvnni"},
    "kAvx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
    "kAvx512Vnni": {"avx512vnni"},
    "kAvx512Bf16": {"avx512bf16"},
}
"""A feature -> the options of the compiler that use it."""


def suffixes() -> dict[str, set[str]]:
    """The suffix of a source file -> the options that it is compiled with."""
    text = (NATIVE / "cmake" / "isa_flags.cmake").read_text("utf-8")
    flags: dict[str, set[str]] = {"SCALAR": set()}
    for name, options in re.findall(r"^set\(BERTC_(\w+) ([^)]*)\)", text, re.M):
        flags[name] = set(re.findall(r"(?<!\S)-m(\S+)", options))
        for inherited in re.findall(r"\$\{BERTC_(\w+)\}", options):
            flags[name] |= flags[inherited]
    return flags


def needs() -> dict[str, set[str]]:
    """A constant of ``needs`` -> the options that its features stand for."""
    text = (KERNELS / "isa.h").read_text("utf-8").partition("namespace needs {")[2].partition("}")[0]
    found: dict[str, set[str]] = {}
    for name, value in re.findall(r"Features k(\w+) = (.*);", text):
        found[name.upper()] = set()
        for feature, other in re.findall(r"feature::(\w+)|\b(k\w+)", value):
            found[name.upper()] |= FLAGS[feature] if feature else found[other[1:].upper()]
    return found


def test_each_line_of_the_table_is_a_row() -> None:
    assert len(ROWS) == (KERNELS / "kernels.inc").read_text("utf-8").count("BERTC_KERNEL(") > 0


def test_the_needs_of_a_suffix_are_what_its_files_are_compiled_with() -> None:
    assert needs() == suffixes()


@pytest.mark.parametrize(("needed", "function"), ROWS)
def test_a_kernel_needs_what_its_file_is_compiled_with(needed: str, function: str) -> None:
    definition = re.compile(rf"^\S.* {function}\(", re.M)
    files = [path for path in KERNELS.glob("*/*.cc") if definition.search(path.read_text("utf-8"))]
    assert [path.stem.rpartition("_")[2] for path in files] == [needed.lower()]
