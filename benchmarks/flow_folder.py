"""A folder with the models and data that the pages in docs/flows name.

``python benchmarks/flow_folder.py FOLDER --shared ../shared``: the pages' commands run there as they are.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from minilm import NAME, ROOT, model_folder

FILES = {
    "sts-train.csv": "data/stsbenchmark/sts-train.csv",
    "sts-test.csv": "data/stsbenchmark/sts-test.csv",
    "sst2-dev.tsv": "data/sst2/dev.tsv",
    "people-daily-train.txt": "data/peoples_daily/dev.txt",
    "people-daily-test.txt": "data/peoples_daily/test.txt",
    "sst2-minilm-l6": "models/sst2-minilm-l6",
    "ner-zh-small": "models/ner-zh-small",
}
"""What the pages call a file or folder -> where it is among the shared ones."""
ASSEMBLED = ("qa-minilm-l6", "ce-minilm-l6")
"""The models that are stored as their difference to all-MiniLM-L6-v2."""
XQUAD, XQUAD_TRAIN = "xquad-test.json", "xquad-train.jsonl"
TEST_ARTICLES = 12
"""The articles at the end of XQuAD that the question answerer was not trained on."""


def fill(folder: Path, shared: Path) -> None:
    """Link or make everything that is not there yet. Exits with a message where something is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    _link(folder / NAME, model_folder())
    for name, place in FILES.items():
        _link(folder / name, shared / place)
    for name in ASSEMBLED:
        if not (folder / name).exists():
            script = shared / "models" / "assemble.py"
            subprocess.run([sys.executable, str(script), name, str(folder / name)], check=True)
    write_xquad(shared, folder)


def write_xquad(shared: Path, folder: Path) -> None:
    """Write the articles of XQuAD that answers are scored on, and questions with contexts of the others."""
    whole = json.loads((shared / "data" / "xquad" / "xquad.en.json").read_text("utf-8"))
    articles = whole["data"]
    (folder / XQUAD).write_text(json.dumps({**whole, "data": articles[-TEST_ARTICLES:]}), "utf-8")
    rows = [
        json.dumps({"question": entry["question"], "context": paragraph["context"]})
        for article in articles[:-TEST_ARTICLES]
        for paragraph in article["paragraphs"]
        for entry in paragraph["qas"]
    ]
    (folder / XQUAD_TRAIN).write_text("\n".join(rows) + "\n", "utf-8")


def pages() -> list[Path]:
    """Return the pages that have commands of flows."""
    return sorted(page for page in (ROOT / "docs" / "flows").glob("*.md") if page.name != "README.md")


def commands(page: Path) -> list[list[str]]:
    """Return the arguments of each ``bertc`` command on a page, in order, without ``bertc``."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    words = (shlex.split(line, comments=True) for line in lines)
    return [each[1:] for each in words if each[:1] == ["bertc"]]


def files(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each file that a page shows: the last name before a YAML block."""
    before, *blocks = re.split(r"^```yaml\n", page.read_text("utf-8"), flags=re.MULTILINE)
    for block in blocks:
        content, _, after = block.partition("```")
        yield re.findall(r"`([\w-]+\.yaml)`", before)[-1], content
        before = after


def _link(link: Path, target: Path) -> None:
    if not target.exists():
        sys.exit(f"{target} is absent: --shared names the folder of models and data")
    if not link.exists():
        link.symlink_to(target.resolve())


def main() -> None:
    """Fill the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shared", type=Path, default=ROOT.parent / "shared")
    arguments = parser.parse_args()
    fill(arguments.folder, arguments.shared)


if __name__ == "__main__":
    main()
