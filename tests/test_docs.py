"""The documents say what is true: links, file lists, commands, environment variables, dependencies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[ \[<>=!;]", name, maxsplit=1)[0]).lower()


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    local = [link for link in links if "://" not in link]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_named_files_exist(page: Path) -> None:
    """A path in backquotes is a file of the repository; ``<word>`` in it stands for any name."""
    roots = (ROOT, ROOT / "src" / "bertc", ROOT / "native" / "src", page.parent)
    paths = re.findall(
        r"`((?:[\w.<>-]+/)+[\w.<>-]+\.(?:py|cc|h|inc|toml|yml|cmake))`", page.read_text("utf-8")
    )
    assert not [
        path for path in paths if not any(list(root.glob(re.sub(r"<\w+>", "*", path))) for root in roots)
    ]


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_exist(page: Path) -> None:
    blocks = "\n".join(code_blocks(page.read_text("utf-8"), "sh"))
    targets = set(re.findall(r"^make ([a-z-]+)", blocks, re.MULTILINE))
    assert targets <= MAKE_TARGETS


def test_first_screen_of_the_readme_has_exactly_two_commands() -> None:
    first = code_blocks((ROOT / "README.md").read_text("utf-8"), "sh")[0]
    commands = [line.split("#")[0].strip() for line in first.splitlines()]
    assert commands == ["make demo", "make test"]


def test_ci_runs_the_test_command_of_the_readme() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert re.search(r"^run test$", script.read_text("utf-8"), re.MULTILINE)


def test_examples_in_the_readme_are_python() -> None:
    for page in PAGES:
        for block in code_blocks(page.read_text("utf-8"), "python"):
            compile(block, page.name, "exec")


def test_commands_in_documents_exist() -> None:
    commands = {
        command
        for page in PAGES
        for block in code_blocks(page.read_text("utf-8"), "sh")
        for command in re.findall(r"^bertc ([\w-]+)", block, re.MULTILINE)
    }
    main = (ROOT / "src" / "bertc" / "cli" / "main.py").read_text("utf-8")
    known = set(re.findall(r'app\.command\("([\w-]+)"\)|add_typer\(.*name="(\w+)"\)', main))
    named = re.findall(r"answers\.(\w+)", main)  # after their functions
    assert commands <= {name.replace("_", "-") for pair in [*known, named] for name in pair}


def test_every_environment_variable_is_documented() -> None:
    listed = set(
        re.findall(r"^\| `(\w+)`", (ROOT / "docs" / "environment.md").read_text("utf-8"), re.MULTILINE)
    )
    sources = [path for folder in ("src", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    reads = r"(?:environ(?:\.get\(|\[)|getenv\()\s*\"(\w+)\""
    read = {name for path in sources for name in re.findall(reads, path.read_text("utf-8"))}
    assert read == listed


def test_the_package_reads_its_environment_in_one_file_per_half() -> None:
    package = ROOT / "src" / "bertc"
    readers = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if re.search(r"\bos\.(environ|getenv)\b", path.read_text("utf-8"))
    }
    assert readers <= {"runtime/environment.py"}
    native = [*(ROOT / "native").rglob("*.cc"), *(ROOT / "native").rglob("*.h")]
    assert not [path.name for path in native if "getenv" in path.read_text("utf-8")]


def test_every_dependency_has_a_reason() -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    named = {
        normalized(name)
        for row in re.findall(r"^\|(.*)\|$", page, re.MULTILINE)
        for name in re.findall(r"`([\w-]+)`", row)
    }
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    declared = [
        *PYPROJECT["build-system"]["requires"],
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
        *(name for group in groups.values() for name in group),
    ]
    assert {normalized(name) for name in declared} - {"bertc"} <= named
    assert set(project["optional-dependencies"]) <= named


def test_pins_cover_everything_that_is_declared() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = {normalized(line) for line in lines if line and not line.startswith("#")}
    assert all("==" in line for line in lines if line and not line.startswith("#"))
    project, groups = PYPROJECT["project"], PYPROJECT["dependency-groups"]
    declared = {
        normalized(name)
        for names in (
            project["dependencies"],
            *project["optional-dependencies"].values(),
            *groups.values(),
        )
        for name in names
    }
    assert declared - {"bertc"} <= pinned


def test_changelog_knows_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    version = re.search(r'__version__ = "(.*)"', (ROOT / "src/bertc/version.py").read_text("utf-8"))
    assert version
    assert "## [Unreleased]" in text or f"## [{version.group(1)}]" in text


def test_readme_names_every_extra() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [
        extra for extra in PYPROJECT["project"]["optional-dependencies"] if f"[{extra}]" not in text
    ] == []
