"""Each snippet of docs/integrations.md runs, with the real library; without it, it is skipped."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "integrations.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def libraries(snippet: str) -> list[str]:
    """The packages that a snippet imports, ours and Python's apart."""
    names = [
        name
        for node in ast.walk(ast.parse(snippet))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names]
        )
        if name is not None
    ]
    packages = {name.split(".")[1] if name.startswith("bertc.") else name.split(".")[0] for name in names}
    return sorted(packages - {"bertc", "sentence_transformers"} - set(sys.stdlib_module_names))


def label(snippet: str) -> str:
    return "-".join(libraries(snippet)) or "bertc"


def test_snippets_are_short() -> None:
    assert len(SNIPPETS) >= 12
    assert all(snippet.count("\n") <= 15 for snippet in SNIPPETS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("snippet", SNIPPETS, ids=label)
def test_a_snippet_runs(snippet: str, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del models
    for library in libraries(snippet):
        pytest.importorskip({"langchain": "langchain_core"}.get(library, library))
    if "mteb" in snippet:
        tasks: Any = pytest.importorskip("mteb.mocks.mock_tasks")
        mteb: Any = sys.modules["mteb"]
        monkeypatch.setattr(mteb, "get_tasks", lambda _: [tasks.MockSTSTask()])  # the named one is on the hub
    exec(compile(snippet, PAGE.name, "exec"), {"__name__": "snippet"})
