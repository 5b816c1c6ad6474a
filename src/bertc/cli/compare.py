"""``bertc compare``: two runs of the bench or under load, or two folders of outputs, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bertc.cli.console import AsJson, check_choice, print_json, print_note, print_table

if TYPE_CHECKING:
    from bertc.report.tables import Table

MOST_NAMES = 10
"""The names of missing files that are printed; ``--json`` has all."""


def command(
    first: Annotated[
        Path,
        typer.Argument(
            metavar="A", help="What bertc load-test or bench --save wrote, or a folder of outputs."
        ),
    ],
    second: Annotated[
        Path, typer.Argument(metavar="B", help="Another one: ratios and differences are B's to A.")
    ],
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, help="Outputs: exit with 1 if files differ by more, or are missing."),
    ] = None,
    bin_dtype: Annotated[str, typer.Option(help="Outputs: what .bin files hold.")] = "float32",
    columns: Annotated[
        int | None, typer.Option(min=1, help="Outputs: numbers per row of .bin files, for argmax.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write all of it as one .html page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Compare two runs, or two folders of outputs (.npy, .npz, .bin, .txt) sample by sample."""
    from bertc.atomic_file import check_destination
    from bertc.compare.output_files import SUFFIXES

    if report is not None:
        check_destination(report)
    for path in (first, second):
        path.stat()  # one that is not there is an error of its own
    outputs = [path.is_dir() or path.suffix in SUFFIXES for path in (first, second)]
    if outputs[0] != outputs[1]:
        raise typer.BadParameter("give two runs, or two folders of outputs, not one of each", param_hint="B")
    if not outputs[0]:
        return _compare_runs(first, second, report, as_json)
    return _compare_outputs(first, second, tolerance, bin_dtype, columns, report, as_json)


def _compare_runs(first: Path, second: Path, report: Path | None, as_json: bool) -> None:
    from bertc.compare.runs import compare_runs
    from bertc.report import compare_tables
    from bertc.report.compare_page import render_runs

    found = compare_runs(first, second)
    if report is not None:
        _write(report, render_runs(found))
    if as_json:
        return print_json(found.to_dict())
    _print_tables(compare_tables.for_runs(found), first, second)
    for run in (found.first, found.second):
        if not run.complete:
            print_note(f"{run.path} was interrupted: it has what was measured by then.")
    for path, names in zip((first, second), found.only, strict=True):
        _print_missing(path, names)
    return None


def _compare_outputs(
    first: Path,
    second: Path,
    tolerance: float | None,
    bin_dtype: str,
    columns: int | None,
    report: Path | None,
    as_json: bool,
) -> None:
    from bertc.compare.output_files import DTYPES
    from bertc.compare.outputs import compare_outputs
    from bertc.report import compare_tables
    from bertc.report.compare_page import render_outputs

    check_choice(bin_dtype, DTYPES, "--bin-dtype")
    found = compare_outputs(first, second, tolerance=tolerance or 0.0, bin_dtype=bin_dtype, columns=columns)
    if report is not None:
        _write(report, render_outputs(found))
    if as_json:
        print_json(found.to_dict())
    else:
        _print_tables(compare_tables.for_outputs(found), first, second)
        for folder, names in ((found.first, found.only_first), (found.second, found.only_second)):
            if folder.partial:
                print_note(f"{folder.path} is partial, as its summary says.")
            _print_missing(folder.path, names)
    if tolerance is not None and not found.same:
        raise typer.Exit(1)


def _print_tables(tables: Iterable[Table], first: Path, second: Path) -> None:
    print_note(f"A is {first}, B is {second}")
    for table in tables:
        if table.rows:
            print_table(*table)


def _print_missing(path: Path, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
        print_note(f"Only in {path}: {', '.join(names[:MOST_NAMES])}{more}")


def _write(path: Path, page: str) -> None:
    from bertc.atomic_file import replace_atomically

    with replace_atomically(path) as target:
        target.write(page.encode())
