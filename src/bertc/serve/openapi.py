"""The OpenAPI file and the page that shows it, both made from the table of routes and its types."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec
import orjson

from bertc.serve.routes.table import ROUTES, Route
from bertc.version import __version__

_TEI_ERROR = {
    "type": "object",
    "required": ["error", "error_type"],
    "properties": {"error": {"type": "string"}, "error_type": {"type": "string"}},
}
_OPENAI_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "code": {"type": "string"},
            },
        }
    },
}
_REFUSALS = {
    "400": "Nothing to do: an empty input, or no JSON",
    "401": "The key is missing or wrong",
    "404": "No model has that name",
    "408": "The body did not come",
    "413": "Too long, too many, or too large",
    "415": "The body is no JSON",
    "422": "Not what the route takes",
    "424": "No loaded model can do it, or its result was no number",
    "429": "Overloaded: come back after Retry-After",
    "503": "Loading, draining or unhealthy",
    "504": "The request waited for longer than it may",
}


@cache
def document() -> bytes:
    """Return the OpenAPI file, JSON of version 3.1."""
    bodies = [route.body for route in ROUTES if route.body is not None]
    _, components = msgspec.json.schema_components(bodies, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})["get" if route.body is None else "post"] = _operation(route)
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "bertc serve", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _TEI_ERROR, "OpenAIError": _OPENAI_ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }
    return orjson.dumps(whole)


@cache
def page() -> bytes:
    """Return a page of HTML that lists routes, their fields and an example; nothing outside is loaded."""
    schemas = orjson.loads(document())["components"]["schemas"]
    rows = "".join(_section(route, schemas) for route in ROUTES)
    text = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Routes of bertc serve</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="page/icon.svg"><link rel="stylesheet" href="page/style.css">'
        f'<body class="routes"><h1>Routes of bertc serve {html.escape(__version__)}</h1>'
        f'<p>Bodies and replies are JSON. The same <a href="openapi.json">for machines</a>.</p>{rows}'
    )
    return text.encode()


def _operation(route: Route) -> dict[str, Any]:
    error = {"$ref": f"#/components/schemas/{'OpenAIError' if route.openai else 'Error'}"}
    if route.reply is None:
        content: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": route.reply}}
    refused = [key for key in _REFUSALS if route.body is not None or key in ("401", "503")]
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": ("get" if route.body is None else "post") + (route.path.replace("/", "_")),
        "responses": {
            "200": {"description": route.summary, "content": content},
            **{
                status: {
                    "description": _REFUSALS[status],
                    "content": {"application/json": {"schema": error}},
                }
                for status in refused
            },
        },
        "security": [{}] if route.public else [{}, {"key": []}],
    }
    if route.body is not None:
        schema = {"$ref": f"#/components/schemas/{route.body.__name__}"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return operation


def _section(route: Route, schemas: Mapping[str, Any]) -> str:
    method = "GET" if route.body is None else "POST"
    head = f"<h2><code>{method} {html.escape(route.path)}</code></h2><p>{html.escape(route.summary)}.</p>"
    if route.body is None:
        return head
    fields = schemas[route.body.__name__]
    required = set(fields.get("required", ()))
    rows = "".join(
        f"<tr><td><code>{html.escape(name)}</code><td>{'required' if name in required else _default(facts)}"
        f"<td>{html.escape(facts.get('description', ''))}"
        for name, facts in fields["properties"].items()
    )
    return f"{head}<table>{rows}</table>"


def _default(facts: Mapping[str, Any]) -> str:
    value = facts.get("default")
    return "" if value is None else f"<code>{html.escape(orjson.dumps(value).decode())}</code>"
