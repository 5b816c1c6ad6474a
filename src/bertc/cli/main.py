"""``bertc``: the list of commands, and what happens to errors.

Exit codes: 0, 1 for a failure (one line on standard error), 2 for misuse, 130 for an interrupt.
"""

from __future__ import annotations

import io
import sys
import warnings
from typing import Annotated

import typer

from bertc.cli import (
    answers,
    bench,
    cache,
    compare,
    data,
    embed,
    evaluate,
    export,
    finetune,
    load,
    models,
    recipe,
    report,
    serve,
    show,
    statistics,
)
from bertc.cli import compile as compile_
from bertc.cli import inspect as inspect_
from bertc.errors import BertcError
from bertc.version import __version__

app = typer.Typer(
    name="bertc",
    help="The BERT compiler: a checkpoint in, one file out, fast on ordinary processors.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("compile")(compile_.command)
app.command("inspect")(inspect_.command)
app.add_typer(export.app, name="export")
app.command("models")(models.command)
app.add_typer(recipe.app, name="recipe")
app.add_typer(statistics.app, name="statistics")
app.command("embed")(embed.command)
for form in (answers.classify, answers.tag, answers.answer, answers.rerank, answers.fill_mask, answers.run):
    app.command()(form)
app.add_typer(data.app, name="data")
app.add_typer(evaluate.app, name="eval")
app.add_typer(finetune.app, name="finetune")
app.command("show")(show.command)
app.command("report")(report.command)
app.command("bench")(bench.command)
app.command("load-test")(load.command)
app.command("serve")(serve.command)
app.command("compare")(compare.command)
app.add_typer(cache.app, name="cache")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bertc {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The BERT compiler: a checkpoint in, one file out, fast on ordinary processors."""


def main() -> None:
    """Run the command line and exit."""
    warnings.formatwarning = _format_warning
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what its encoding lacks is no reason to fail
    try:
        app()
    except BertcError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'input or output'}: {error.strerror or error}")
    except MemoryError:
        _fail("out of memory")
    except RecursionError:
        _fail("the file is nested too deeply to be one that bertc wrote")
    except KeyboardInterrupt:
        sys.exit(130)


def _format_warning(message: Warning | str, *_: object, **__: object) -> str:
    return f"bertc: warning: {message}\n"


def _fail(message: str) -> None:
    sys.stderr.write(f"bertc: error: {' '.join(message.split())}\n")
    sys.exit(1)


if __name__ == "__main__":
    main()
