"""``bertc recipe``: writes, checks and explains recipes."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bertc.cli.console import (
    WIDTH_IN_A_FILE,
    AsJson,
    Subfolder,
    check_choice,
    print_json,
    print_result,
    print_rows,
    print_table,
)

if TYPE_CHECKING:
    from bertc.frontends.imported_model import ImportedModel
    from bertc.ir.graph import Graph
    from bertc.recipe import Recipe

app = typer.Typer(help="Write, check and explain recipes.", no_args_is_help=True)

Source = Annotated[str, typer.Argument(metavar="RECIPE", help="A .yaml or .json file, or a preset's name.")]
Model = Annotated[
    str | None,
    typer.Option(help="A model that it is for, a folder, a hub id or an .onnx file: looks at its nodes too."),
]


@app.command("init")
def init(
    preset: Annotated[
        str, typer.Option("--preset", help="The preset to start from; 'list' tells them.")
    ] = "default",
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file to write, .yaml; or .json, which has no comments."),
    ] = None,
    profile: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Write a recipe with every key, its value, and a comment that explains it."""
    from bertc.recipe import Recipe
    from bertc.recipe.presets import PRESETS
    from bertc.recipe.template import to_yaml

    preset = profile or preset  # --profile is what --preset was called
    if preset == "list":
        print_table("presets", ("name", "what"), [(name, each.doc) for name, each in PRESETS.items()])
        return
    check_choice(preset, PRESETS, "--preset")
    _check_output(output)
    recipe = Recipe.load(preset)
    heading = f"A recipe for bertc compile, from the preset {preset}: {PRESETS[preset].doc}"
    headings = (heading, "Any key may be left out. null stands for no value.")
    if output is None:
        typer.echo(to_yaml(recipe, *headings), nl=False)
    else:
        _write(recipe, output, *headings)


def _check_output(output: Path | None) -> None:
    if output is not None and output.suffix not in (".yaml", ".yml", ".json"):
        raise typer.BadParameter(f"{output} ends in none of .yaml, .yml, .json", param_hint="--output")
    if output is not None and output.exists():
        raise typer.BadParameter(f"{output} exists already", param_hint="--output")


def _write(recipe: Recipe, output: Path, *headings: str) -> None:
    """Write a recipe with comments that explain its keys; ``.json`` has none."""
    from bertc.atomic_file import check_destination, replace_atomically
    from bertc.recipe.template import to_yaml

    text = f"{recipe.to_json()}\n" if output.suffix == ".json" else to_yaml(recipe, *headings)
    with replace_atomically(check_destination(output)) as file:
        file.write(text.encode())


@app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(metavar="VAMC.YAML", help="What vamc compile reads, .yaml or .json.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The recipe to write, .yaml or .json.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the recipe that another tool-chain's settings mean, and tell which have no meaning here."""
    from bertc.errors import RecipeError
    from bertc.recipe import Recipe
    from bertc.recipe.documents import read
    from bertc.recipe.other_tools import from_vamc
    from bertc.recipe.template import to_yaml

    _check_output(output)
    try:
        values, notes = from_vamc(read(source))
    except RecipeError as error:
        raise RecipeError(f"{source}: {error}") from None
    recipe = Recipe.from_dict(values)
    headings = [f"The recipe of {source}.", *(f"No meaning here: {note}." for note in notes)]
    if output is not None:
        _write(recipe, output, *headings)
    if as_json:
        print_json({"source": str(source), "recipe": values, "no_meaning": notes})
        return
    if output is None:
        typer.echo(to_yaml(recipe, *headings), nl=False)
    for note in notes:
        typer.echo(f"{source}: no meaning here: {note}", err=True)


@app.command("check")
def check(recipe: Source, model: Model = None, subfolder: Subfolder = "", as_json: AsJson = False) -> None:
    """Say everything that is wrong with a recipe, with its lines; the exit code is 1 if something is."""
    from bertc.recipe import Recipe
    from bertc.recipe.loading import find_problems, open_document

    document = open_document(recipe)
    problems = find_problems(Recipe, document)
    if not problems and model is not None:
        from bertc.compiler.recipe_checks import find_misfits

        misfits = find_misfits(Recipe.load(recipe), *_import(model, subfolder))
        problems = sorted(misfits, key=lambda each: document.line_of(each.path) or 0)
    found = [
        {"line": document.line_of(each.path), "key": ".".join(each.path), "message": each.message}
        for each in problems
    ]
    lines = [f"{recipe}:{each['line'] or ''}: {each['message']}" for each in found] or [f"{recipe}: valid"]
    print_result({"recipe": recipe, "problems": found}, as_json, lambda _: typer.echo("\n".join(lines)))
    if found:
        raise typer.Exit(1)


@app.command("explain")
def explain(recipe: Source, model: Model = None, subfolder: Subfolder = "", as_json: AsJson = False) -> None:
    """Say in plain words what a recipe does, to which layers, and what others call the same thing."""
    from bertc.recipe import Recipe
    from bertc.recipe.explain import explain as explain_recipe

    loaded = Recipe.load(recipe)
    decisions = explain_recipe(loaded)
    layers = [] if model is None else _layers(loaded, *_import(model, subfolder))
    if as_json:
        print_json({"recipe": recipe, "decisions": [each._asdict() for each in decisions], "layers": layers})
        return
    for each in decisions:
        typer.echo(f"{each.key}: {each.value}")
        _print_wrapped(each.meaning)
        if each.elsewhere:
            _print_wrapped(f"Elsewhere: {each.elsewhere}.")
    columns = {"layers": "layers", "nodes": "nodes", "precision": "precision", "because_of": "because of"}
    print_rows("what each layer computes in", columns, layers)


def _import(model: str, subfolder: str) -> tuple[ImportedModel, Graph]:
    from bertc.frontends.source import import_source
    from bertc.passes import fuse

    imported = import_source(model, subfolder=subfolder)
    return imported, fuse(imported.graph)


def _layers(recipe: Recipe, _: ImportedModel, fused: Graph) -> list[dict[str, Any]]:
    """Return how many nodes have each precision and reason, by names with their numbers left out."""
    from bertc.quantize.precisions import explain_precisions

    counts = Counter(
        (re.sub(r"\.\d+\.", ".*.", name), choice.precision, choice.reason)
        for name, choice in explain_precisions(fused, recipe).items()
    )
    return [
        {"layers": name, "nodes": count, "precision": precision, "because_of": reason}
        for (name, precision, reason), count in counts.items()
    ]


def _print_wrapped(text: str) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH_IN_A_FILE
    typer.echo(textwrap.fill(text, width, initial_indent="    ", subsequent_indent="    "))
