"""``bertc cache``: shows and empties the cache of models that were compiled when they were loaded."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from bertc.cli.console import AsJson, print_json, print_table

app = typer.Typer(
    help="The models that bertc compiled because a checkpoint was loaded.", no_args_is_help=True
)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the models in the cache, the one that was used last first."""
    from bertc.cache import cached_models, size_limit
    from bertc.runtime.environment import cache_folder

    models = cached_models()
    if as_json:
        entries = [
            {"path": str(each.path), "bytes": each.bytes, "last_used": each.last_used} for each in models
        ]
        print_json({"folder": str(cache_folder()), "limit": size_limit(), "models": entries})
        return
    rows = [
        (each.path.name, each.bytes / 1e6, time.strftime("%Y-%m-%d %H:%M", time.localtime(each.last_used)))
        for each in models
    ]
    used = sum(each.bytes for each in models)
    title = f"{cache_folder()}: {used / 1e9:.2f} GB of {size_limit() / 1e9:g} GB"
    print_table(title, ("model", "MB", "last used"), rows)


@app.command()
def clear(
    keep: Annotated[
        float, typer.Option(min=0, metavar="GB", help="Keep so much of what was used last.")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Remove models; processes that have them in use are not disturbed."""
    from bertc import cache

    removed = cache.clear(int(keep * 1e9))
    if as_json:
        print_json({"removed": [str(each.path) for each in removed]})
    else:
        typer.echo(f"removed {len(removed)} models, {sum(each.bytes for each in removed) / 1e6:.0f} MB")
