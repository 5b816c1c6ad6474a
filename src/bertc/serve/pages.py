"""What the server shows a browser: the page at / with its files, the list of routes, and the OpenAPI file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from bertc.serve import openapi
from bertc.serve.call import Header

HTML: Header = (b"content-type", b"text/html; charset=utf-8")
_FILES: Mapping[str, Header] = {
    "style.css": (b"content-type", b"text/css; charset=utf-8"),
    "icon.svg": (b"content-type", b"image/svg+xml"),
    **dict.fromkeys(
        ("main.js", "api.js", "certificate.js", "draw.js", "load.js", "tasks.js"),
        (b"content-type", b"text/javascript; charset=utf-8"),
    ),
}
_STRICT: tuple[Header, ...] = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        b"require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),
)
"""A page loads nothing but its own files and asks nobody but this server; it holds no script or style."""


@dataclass(frozen=True)
class Page:
    """One file that browsers read, the same for everybody."""

    content: Callable[[], bytes]
    headers: tuple[Header, ...]
    public: bool = False
    """Whether it needs no key: the page at / is where a key is entered."""


@cache
def _read(name: str) -> bytes:
    return resources.files("bertc.serve").joinpath("page", name).read_bytes()


def _file(name: str, kind: Header) -> Page:
    return Page(lambda: _read(name), (kind, *_STRICT), public=True)


PAGES: Mapping[str, Page] = {
    "/": _file("index.html", HTML),
    **{f"/page/{name}": _file(name, kind) for name, kind in _FILES.items()},
    "/docs": Page(openapi.page, (HTML, *_STRICT)),
    "/openapi.json": Page(openapi.document, ((b"content-type", b"application/json"),)),
}
"""Each by its path."""
