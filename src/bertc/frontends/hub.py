"""Downloads a checkpoint from the Hugging Face hub, through its own client and cache.

``HF_HOME``, ``HF_HUB_OFFLINE``, ``HF_ENDPOINT`` and the rest are the client's, and work as ever.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from pathlib import Path

from bertc.errors import CheckpointError, MissingExtraError
from bertc.frontends.folder import CheckpointFolder
from bertc.frontends.pickles import can_read_pickles

_FILES = (
    "*.json",
    "*vocab.txt",
    "*merges.txt",
    "*tokenizer.model",
    "*spiece.model",
    "*sentencepiece.bpe.model",
    "model*.safetensors",
    "*/model*.safetensors",
    "*adapters/*/adapter_model.safetensors",
)
_PICKLES = ("pytorch_model*.bin*", "*/pytorch_model*.bin*")
"""What is downloaded of a model that has nothing else."""
_OTHER_FORMATS = ("onnx/*", "openvino/*")
_HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?", re.ASCII)


def is_hub_id(source: str) -> bool:
    """Return whether a string can be a repository's id: ``name`` or ``owner/name``."""
    return _HUB_ID.fullmatch(source) is not None


def download(hub_id: str, subfolder: str = "", *, offline: bool = False) -> CheckpointFolder:
    """Download the files that a front end reads into the client's cache, and return their folder.

    Of a repository, ``subfolder`` alone is downloaded and returned where it is given. ``offline`` takes what
    that cache has already. A bare name is looked for as it is, then under ``sentence-transformers/``, as that
    library does.
    Raises ``MissingExtraError`` without ``huggingface_hub``, ``CheckpointError`` if all fails.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise MissingExtraError(
            "huggingface_hub", "hub", f"there is no folder {hub_id!r} here, and downloading it"
        ) from None
    candidates = [hub_id] if "/" in hub_id else [hub_id, f"sentence-transformers/{hub_id}"]
    problems = []
    for candidate in candidates:
        try:
            root = Path(_snapshot(snapshot_download, candidate, subfolder, _FILES, offline))
            if can_read_pickles() and not any((root / subfolder).rglob("model*.safetensors")):
                _snapshot(snapshot_download, candidate, subfolder, _PICKLES, offline)
        except Exception as error:  # the client raises a wide family: HTTP, offline, disk
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            problems.append(f"{candidate}: {reason}")
        else:
            if subfolder and not (root / subfolder).is_dir():
                raise CheckpointError(f"{candidate} has no folder {subfolder!r} with files of a model")
            return CheckpointFolder(root / subfolder, candidate, root.name)
    raise CheckpointError(
        f"{hub_id!r} is no folder here, and could not be downloaded ({'; '.join(problems)})"
    )


def _snapshot(
    download: Callable[..., str], hub_id: str, subfolder: str, patterns: tuple[str, ...], offline: bool
) -> str:
    below = f"{glob.escape(subfolder)}/" if subfolder else ""
    return download(
        hub_id,
        allow_patterns=[below + pattern for pattern in patterns],
        ignore_patterns=[below + pattern for pattern in _OTHER_FORMATS],
        local_files_only=offline,
    )
