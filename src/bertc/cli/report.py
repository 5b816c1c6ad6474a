"""``bertc report``: writes the certificate as a page with plots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bertc.cli.console import AsJson, ModelFile, print_json


def command(
    file: ModelFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .html file to write.")],
    as_json: AsJson = False,
) -> None:
    """Write the certificate of a file as one page of HTML, with plots, that needs no network."""
    from bertc.artifact.reader import open_artifact
    from bertc.atomic_file import check_destination, replace_atomically
    from bertc.report.page import render

    check_destination(output)
    page = render(open_artifact(file)).encode()
    with replace_atomically(output) as target:
        target.write(page)
    if as_json:
        print_json({"output": str(output), "bytes": len(page)})
