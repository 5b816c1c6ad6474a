"""Any JSON as the body of any route: an answer or a 4xx, never a 500, and nothing is left in work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("msgspec", reason='the extra "serve" is not installed')

from bertc.serve.routes.table import ROUTES, Route

if TYPE_CHECKING:
    from tests.support.serving import Server

TEXTS = st.text("ab .\u200b\ud800é人😀\0", max_size=12) | st.sampled_from(
    ["a dog", "the [MASK] is", "人民日报", "dog " * 80, "Left"]
)
NUMBERS = (
    st.integers(-(2**70), 2**70) | st.integers(0, 400) | st.floats(allow_nan=False, allow_infinity=False)
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=6,
)
LIKELY = (
    TEXTS
    | st.lists(TEXTS, max_size=3)
    | st.lists(st.integers(-2, 310), max_size=3)
    | st.lists(st.lists(TEXTS, max_size=3), max_size=2)
    | st.lists(st.lists(st.integers(-2, 310), max_size=3), max_size=2)
)
REQUIRED = ("inputs", "input", "query", "question", "ids")
SWITCHES = ("truncate", "normalize", "raw_scores", "return_text", "multi_label")


def bodies(route: Route) -> st.SearchStrategy[Any]:
    """Objects with the fields of a route, likely values more often than others; or anything."""
    assert route.body is not None
    fields = [name for name in route.body.__struct_fields__ if name != "model"]  # type: ignore[attr-defined]
    likely = {name: st.booleans() if name in SWITCHES else LIKELY for name in fields}
    required = {
        name: likely[name] for name in fields if name in ("inputs", "input", "query", "question", "ids")
    }
    some = {name: strategy | VALUES for name, strategy in likely.items() if name not in required}
    return st.fixed_dictionaries(required, optional=some) | VALUES


@pytest.mark.parametrize("route", [route for route in ROUTES if route.body is not None], ids=lambda r: r.path)
def test_no_body_breaks_a_route(server: Server, route: Route) -> None:
    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(bodies(route))
    def check(body: Any) -> None:
        reply = server.post(route.path, body)
        assert reply.status < 500, (body, reply.body)
        assert reply.json is not None
        assert server.state.engine.admission.requests == 0

    check()
