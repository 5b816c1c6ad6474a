"""``bertc models``: what can be compiled, by family and head."""

from __future__ import annotations

from bertc.cli.console import AsJson, print_json, print_table


def command(as_json: AsJson = False) -> None:
    """Print the model types of config.json that can be compiled, and for each the tasks that it has."""
    from bertc.frontends.model_class import supported_classes

    models: dict[str, dict[str, str]] = {}
    for each in supported_classes():
        models.setdefault(each.model_type, {})[each.head.name] = each.name
    if as_json:
        print_json(models)
        return
    heads = list(dict.fromkeys(each.head.name for each in supported_classes()))
    rows = [
        [model_type, *("yes" if head in of else "-" for head in heads)] for model_type, of in models.items()
    ]
    names = [head.replace("_", " ") for head in heads]
    print_table("model types and heads (--json: their classes)", ["model_type", *names], rows)
