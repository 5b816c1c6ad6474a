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

COMPILE_HALF = {"architectures", "frontends", "ir", "lowering", "passes", "quantize", "recipe"}
RUN_HALF = {"_native", "encoder", "runtime", "tasks"}
DOORS = {"__init__", "cli", "compiler"}

LADDER: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "ports": set(),
    "data": set(),
    "fidelity": {"errors"},
    # The compile half.
    "ir": {"errors", "ports"},
    "recipe": {"errors", "precision", "task_table"},
    "precision": set(),
    "task_table": set(),
    "passes": {"errors", "ir"},
    "quantize": {"errors", "ir", "passes", "ports", "precision", "recipe"},
    "architectures": {"errors", "ir", "ports", "artifact.schema"},
    "frontends": {"errors", "ir", "architectures", "artifact.schema", "version"},
    "lowering": {"errors", "ir", "artifact.schema"},
    # The seam.
    "artifact.json_form": {"errors"},
    "artifact.schema": {"errors", "artifact.json_form"},
    "artifact": {"errors", "artifact.json_form", "artifact.schema", "version"},
    # The run half.
    "runtime": {"errors", "artifact", "artifact.schema", "_native"},
    "tasks": {"errors", "artifact", "artifact.schema", "runtime"},
    "encoder": {"errors", "artifact", "artifact.schema", "runtime", "tasks"},
    "files": {"errors", "artifact"},
    "evaluation": {"errors", "artifact", "artifact.schema", "files", "runtime", "tasks", "encoder"},
    "report": {"errors", "artifact", "artifact.json_form", "fidelity", "task_table", "version"},
    # It times the instructions of the native core itself, to compare kernels with.
    "bench": {
        "precision",
        "errors",
        "artifact",
        "artifact.schema",
        "_native",
        "runtime",
        "tasks",
        "encoder",
        "evaluation",
        "fidelity",
        "version",
    },
}
"""Part of the package -> the other parts that it may import. The longest matching name counts."""

THIRD_PARTY: dict[str, set[str]] = {
    "cli": {"rich", "typer", "numpy"},
    "frontends": {"numpy", "safetensors", "tokenizers"},
    "runtime": {"numpy", "tokenizers", "safetensors"},
    "errors": set(),
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
    """The longest name in the ladder (or a door) that the module lies in."""
    pieces = module.split(".")
    names = [".".join(pieces[:count]) for count in range(len(pieces), 0, -1)]
    return next((name for name in names if name in LADDER or name in DOORS or name == NATIVE), module)


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


@pytest.mark.parametrize("module", [name for name in MODULES if part_of(name) not in DOORS])
def test_module_imports_only_what_its_place_allows(module: str) -> None:
    part = part_of(module)
    assert part in LADDER, f"bertc.{module}: give {part!r} a line in LADDER"
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    targets = {name.removeprefix("bertc.") for name in imports(tree) if name.split(".")[0] == "bertc"}
    reached = {part_of(target) for target in targets} - {part}
    # A subpackage's own module may use its package ("artifact.reader" -> "artifact.schema").
    illegal = sorted(target for target in reached if target not in LADDER[part])
    assert not illegal, f"bertc.{module} must not import {illegal}: see LADDER"


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
        head = part.split(".")[0]
        assert not (head in COMPILE_HALF and below & RUN_HALF), part
        assert not (head in RUN_HALF and {name.split(".")[0] for name in below} & COMPILE_HALF), part


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
        "import sys, bertc\nencoder = bertc.load(sys.argv[1])\nencoder.encode(['hello world'])", str(path)
    )
    ours = {name.split(".")[1] for name in modules if name.startswith("bertc.")}
    assert "encoder" in ours
    assert not ours & (COMPILE_HALF | {"compiler", "cli", "evaluation"})
    assert not {name.split(".")[0] for name in modules} & FORBIDDEN_AT_RUN_TIME


def test_command_line_starts_without_either_half() -> None:
    modules = loaded_after("import bertc.cli.main")
    ours = {name.split(".")[1] for name in modules if name.startswith("bertc.")}
    assert not ours & (COMPILE_HALF | RUN_HALF | {"compiler", "evaluation"})
