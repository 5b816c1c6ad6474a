"""Who may import whom: data goes one way, and the two halves meet only in the file.

The table below is the architecture. A new package needs a line here, so that its place is a choice.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.tiny_models import make_bert_checkpoint

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "bertc"

COMPILE_HALF = {
    "architectures",
    "embedding_tables",
    "exporters",
    "foreign",
    "frontends",
    "heads",
    "inspection",
    "ir",
    "lowering",
    "passes",
    "quantize",
    "recipe",
}
RUN_HALF = {"_native", "encoder", "runtime", "tasks"}
BOTH_HALVES = {"__init__", "__main__", "cli", "compiler", "loading", "training"}
"""What may reach both halves."""

LADDER: dict[str, set[str]] = {
    # Leaves: what everybody may know.
    "data": set(),
    "errors": set(),
    "fidelity": set(),
    "home": set(),
    "operations": set(),
    "ports": set(),
    "precision": set(),
    # What foreign graphs are made of, and what a session computes with NumPy.
    "primitives": {"errors", "ports"},
    "task_table": set(),
    "version": set(),
    "atomic_file": {"errors"},
    "files": {"atomic_file", "errors"},
    # The seam: an executable, and the file that holds one.
    "artifact": {"atomic_file", "errors", "ports", "task_table"},
    # The compile half.
    "ir": {"errors", "operations", "ports", "primitives"},
    "embedding_tables": {"atomic_file", "errors", "ir"},
    "recipe": {"errors", "home", "precision", "task_table"},
    "passes": {"errors", "ir", "ports", "primitives"},
    "quantize": {"errors", "fidelity", "ir", "passes", "ports", "precision", "recipe"},
    "architectures": {"errors", "ir", "ports", "primitives"},
    "heads": {"architectures"},
    # Graphs of other systems, and how they become the IR's: no front end knows more than its own format.
    "foreign": {"architectures", "errors", "ir", "ports", "primitives"},
    "frontends": {
        "architectures",
        "artifact",
        "errors",
        "foreign",
        "heads",
        "home",
        "ir",
        "ports",
        "primitives",
        "task_table",
    },
    "lowering": {"artifact", "errors", "ir", "ports"},
    "exporters": {"errors", "ir", "ports", "version"},
    # The run half.
    "runtime": {"_native", "artifact", "errors", "ports", "primitives"},
    "cache": {"atomic_file", "errors", "files", "runtime", "version"},
    "encoder": {"artifact", "errors", "ports", "primitives", "runtime", "task_table"},
    "tasks": {"artifact", "encoder", "errors", "ports", "runtime"},
    # What uses loaded models and artifacts.
    "bulk": {"atomic_file", "cache", "encoder", "errors", "files", "runtime", "version"},
    # The same for engines that divide tables themselves.
    "tables": {"bulk", "errors", "loading"},
    "ray": {"bulk", "tables"},
    "evaluation": {"errors", "fidelity", "files"},
    "prepared": {
        "encoder",
        "errors",
        "evaluation",
        "files",
        "ports",
        "runtime",
        "task_table",
        "version",
    },
    # Results side by side: of runs and of outputs, whoever wrote them.
    "compare": {"errors", "fidelity", "files"},
    "report": {"artifact", "compare", "evaluation", "fidelity", "task_table", "version"},
    # What people want to know of a graph.
    "inspection": {
        "artifact",
        "errors",
        "exporters",
        "ir",
        "ports",
        "precision",
        "primitives",
        "report",
        "task_table",
        "version",
    },
    # It times the instructions of the native core itself, to compare kernels with.
    "bench": {
        "_native",
        "artifact",
        "atomic_file",
        "encoder",
        "errors",
        "evaluation",
        "fidelity",
        "operations",
        "ports",
        "precision",
        "runtime",
        "task_table",
        "version",
    },
    # Tasks over HTTP: it loads models as users do, checkpoints too.
    "serve": {
        "encoder",
        "errors",
        "loading",
        "ports",
        "runtime",
        "tasks",
        "version",
    },
    # What reaches both halves.
    "compiler": {
        "artifact",
        "atomic_file",
        "data",
        "embedding_tables",
        "encoder",
        "errors",
        "evaluation",
        "exporters",
        "fidelity",
        "files",
        "frontends",
        "home",
        "inspection",
        "ir",
        "lowering",
        "passes",
        "ports",
        "precision",
        "primitives",
        "quantize",
        "recipe",
        "runtime",
        "task_table",
        "version",
    },
    "training": {
        "artifact",
        "atomic_file",
        "compiler",
        "encoder",
        "errors",
        "evaluation",
        "files",
        "recipe",
        "runtime",
    },
    "__init__": {
        "artifact",
        "compiler",
        "embedding_tables",
        "encoder",
        "errors",
        "loading",
        "recipe",
        "tasks",
        "training",
        "version",
    },
    "loading": {"cache", "compiler", "encoder", "errors", "frontends", "home", "recipe", "runtime"},
    # A model by its place, and what adapts models to other libraries: a file each, named after the library.
    "model_handle": {"encoder", "errors", "loading", "task_table"},
    "duckdb": {"bulk", "encoder", "errors", "loading"},
    "haystack": {"errors", "model_handle"},
    "lancedb": {"errors", "model_handle"},
    "langchain": {"encoder", "errors", "model_handle"},
    "llama_index": {"errors", "model_handle"},
    "sentence_transformers": {"artifact", "encoder", "errors", "model_handle", "tasks"},
    "sklearn": {"encoder", "errors", "model_handle"},
    "spacy": {"errors", "model_handle"},
    "__main__": {"cli"},
    "cli": {
        "artifact",
        "atomic_file",
        "bench",
        "bulk",
        "cache",
        "compare",
        "compiler",
        "embedding_tables",
        "encoder",
        "errors",
        "evaluation",
        "files",
        "frontends",
        "inspection",
        "ir",
        "loading",
        "passes",
        "precision",
        "primitives",
        "prepared",
        "quantize",
        "recipe",
        "report",
        "runtime",
        "serve",
        "task_table",
        "training",
        "version",
    },
}
"""A package or module of bertc -> the others that it imports, no more and no fewer."""

THIRD_PARTY: dict[str, set[str]] = {
    "cli": {"rich", "typer", "numpy"},
    "frontends": {"numpy", "safetensors", "tokenizers"},
    "runtime": {"numpy", "tokenizers", "safetensors"},
    "sentence_transformers": {"numpy", "tokenizers"},
    # What they adapt to is an extra, which they ask for where they load it.
    "haystack": {"haystack"},
    "lancedb": {"lancedb"},
    "langchain": {"langchain_core"},
    "llama_index": {"llama_index"},
    "sklearn": {"numpy", "sklearn"},
    "spacy": {"spacy"},
    # All of it is an extra, which its command asks for before it loads it.
    "serve": {"httptools", "msgspec", "numpy", "orjson", "uvicorn"},
    "errors": set(),
    "ports": set(),
    "precision": set(),
    "task_table": set(),
    "version": set(),
}
"""What may be imported when a module is loaded; everywhere else NumPy alone. Extras load in functions."""

DEFAULT_THIRD_PARTY = {"numpy", "safetensors"}
FORBIDDEN_AT_RUN_TIME = {
    "torch",
    "transformers",
    "scipy",
    "seqeval",
    "typer",
    "rich",
    "matplotlib",
    "pyarrow",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
NATIVE = "_native"
"""The compiled module."""


def part_of(module: str) -> str:
    """The row of the ladder that a module lies in."""
    return module.split(".")[0]


def imports(tree: ast.AST) -> Iterator[str]:
    """Absolute dotted names of all that the code imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: write imports in full, not relative"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                module = name.removeprefix("bertc.")
                yield name if module in MODULES or module == NATIVE else str(node.module)


def top_level(tree: ast.Module | ast.ClassDef) -> Iterator[ast.stmt]:
    """The statements that run when the module is loaded; ``if TYPE_CHECKING`` and methods do not."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield from top_level(node)
        elif not (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        ):
            yield node


def imported_parts(part: str) -> set[str]:
    """What the modules of a row import, also inside functions."""
    reached = set()
    for module in MODULES:
        if part_of(module) == part:
            tree = ast.parse(MODULES[module].read_text("utf-8"))
            names = {name for name in imports(tree) if name.split(".")[0] == "bertc"}
            reached |= {part_of(name.removeprefix("bertc.")) for name in names}
    return reached - {part}


def test_every_module_has_its_place() -> None:
    assert {part_of(module) for module in MODULES} == set(LADDER)


@pytest.mark.parametrize("part", LADDER)
def test_a_part_imports_what_its_row_says(part: str) -> None:
    assert imported_parts(part) == LADDER[part]


@pytest.mark.parametrize("module", MODULES)
def test_module_loads_only_packages_that_are_always_there(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    names = {name.split(".")[0] for node in top_level(tree) for name in imports(node)}
    allowed = THIRD_PARTY.get(module.split(".")[0], DEFAULT_THIRD_PARTY)
    foreign = names - set(sys.stdlib_module_names) - {"bertc", "__future__"} - allowed
    assert not foreign, f"bertc.{module} loads {sorted(foreign)}: import it in the function that needs it"


def test_ladder_goes_one_way() -> None:
    placed = {NATIVE}
    waiting = dict(LADDER)
    while waiting:
        ready = [part for part, below in waiting.items() if below <= placed]
        assert ready, f"a cycle among {sorted(waiting)}"
        placed.update(ready)
        for part in ready:
            del waiting[part]


def test_halves_do_not_know_each_other() -> None:
    for part, below in LADDER.items():
        assert not (part in COMPILE_HALF and below & RUN_HALF), part
        assert not (part in RUN_HALF and below & COMPILE_HALF), part
        assert part in BOTH_HALVES or not (below & RUN_HALF and below & COMPILE_HALF), part


def loaded_after(code: str, *arguments: str) -> set[str]:
    """The modules that a fresh interpreter holds after running the code."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_loads_next_to_nothing() -> None:
    modules = loaded_after("import bertc")
    assert {name for name in modules if name.startswith("bertc")} == {"bertc"}
    assert "numpy" not in modules


def test_loading_and_running_a_model_needs_no_compiler(tmp_path: Path) -> None:
    import bertc

    source, path = tmp_path / "tiny", tmp_path / "tiny.bertc"
    make_bert_checkpoint(source, "embedding")
    bertc.compile(source, path)
    modules = loaded_after(
        "import sys, bertc\nencoder = bertc.load(sys.argv[1])\nencoder.encode(['hello world'])\n"
        "from bertc.sentence_transformers import SentenceTransformer\n"
        "SentenceTransformer(sys.argv[1]).encode(['hello world'])",
        str(path),
    )
    ours = {name.split(".")[1] for name in modules if name.startswith("bertc.")}
    assert "encoder" in ours
    assert not ours & (COMPILE_HALF | {"compiler", "cli", "evaluation"})
    assert not {name.split(".")[0] for name in modules} & FORBIDDEN_AT_RUN_TIME


def test_command_line_starts_without_either_half() -> None:
    modules = loaded_after("import bertc.cli.main")
    ours = {name.split(".")[1] for name in modules if name.startswith("bertc.")}
    assert not ours & (COMPILE_HALF | RUN_HALF | {"compiler", "evaluation"})
