"""Who may include whom in the native core: from the Python module down to the vectors, never upward.

The table below is the architecture. A new folder needs a line here, so that its place is a choice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parent.parent / "native"
SOURCES = NATIVE / "src"
FILES = sorted(
    path
    for folder in (SOURCES, NATIVE / "python")
    for path in folder.rglob("*")
    if path.suffix in {".h", ".cc", ".inc"}
)

LADDER: dict[str, set[str]] = {
    "common": set(),
    "simd": set(),
    "thread_pool": {"common"},
    # Kernels know rows of numbers; no model, no program.
    "kernels/quantize_rows": {"simd"},
    "kernels/embed": {"simd"},
    "kernels/pool": {"simd"},
    "kernels/layer_norm": {"kernels/quantize_rows", "simd"},
    "kernels/gemm": {"kernels/quantize_rows", "simd"},
    "kernels/attention": {"kernels/gemm", "kernels/quantize_rows", "simd"},
    "kernels/peak": {"kernels/gemm", "simd"},
    # The instruction sets, and the table of kernels.
    "kernels": {
        "common",
        "kernels/attention",
        "kernels/embed",
        "kernels/gemm",
        "kernels/layer_norm",
        "kernels/peak",
        "kernels/pool",
        "kernels/quantize_rows",
    },
    "ops": {"common", "kernels", "kernels/quantize_rows"},
    "program": {"common", "ops"},
    # The parts of attention's time, which a profile tells apart.
    "session": {"common", "kernels/attention", "program", "thread_pool"},
    # Many callers' requests in batches of one session.
    "queue": {"common", "session"},
    "python": {"common", "program", "queue", "session"},
}
"""A folder of the native core -> the others whose headers it includes, no more and no fewer. The rows are
in rising order: none names a later one."""

STANDARD_HEADERS = {"cstddef", "cstdint", "cstring", "immintrin.h", "iterator", "type_traits", "utility"}
"""What kernels and vectors may include from outside: types, constants (``std::size``) and functions of C.
Of inline functions the linker might keep a copy that was compiled for another processor."""


def part_of(path: Path) -> str:
    """The row of the ladder that a file lies in."""
    folder = path.relative_to(SOURCES if path.is_relative_to(SOURCES) else NATIVE).parent
    return folder.as_posix()


def includes(path: Path, form: str) -> Iterator[str]:
    yield from re.findall(rf"^\s*#\s*include\s*{form}", path.read_text("utf-8"), re.MULTILINE)


def test_every_folder_has_its_place() -> None:
    assert {part_of(path) for path in FILES} == set(LADDER)


def test_own_headers_are_included_by_their_path() -> None:
    missing = [
        f"{path.relative_to(NATIVE)}: {header}"
        for path in FILES
        for header in includes(path, '"(.*?)"')
        if not (SOURCES / header).is_file()
    ]
    assert not missing


@pytest.mark.parametrize("part", LADDER)
def test_a_part_includes_what_its_row_says(part: str) -> None:
    headers = {h for path in FILES if part_of(path) == part for h in includes(path, '"(.*?)"')}
    assert {part_of(SOURCES / header) for header in headers} - {part} == LADDER[part]


def test_nothing_includes_upward() -> None:
    order = list(LADDER)
    upward = [(part, low) for part in order for low in LADDER[part] if order.index(low) >= order.index(part)]
    assert not upward


def test_code_for_an_instruction_set_shares_no_functions_with_other_code() -> None:
    headers = {
        header
        for path in FILES
        if part_of(path) == "simd" or part_of(path).startswith("kernels/")
        for header in includes(path, "<(.*?)>")
    }
    assert headers == STANDARD_HEADERS
