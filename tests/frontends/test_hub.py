from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from bertc.errors import CheckpointError, MissingExtraError
from bertc.frontends import hub
from bertc.frontends.huggingface import import_model
from tests.support.tiny_models import make_bert_checkpoint

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bert-base-uncased", True),
        ("a/b.c-1", True),
        ("a/b/c", False),
        ("./a", False),
        ("", False),
        ("a b", False),
    ],
)
def test_is_hub_id(text: str, expected: bool) -> None:
    assert hub.is_hub_id(text) is expected


def test_the_hubs_cache_is_used_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    repository = tmp_path / "models--sentence-transformers--tiny"
    make_bert_checkpoint(repository / "snapshots" / REVISION)
    make_bert_checkpoint(repository / "snapshots" / REVISION / "onnx" / "best")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    model = import_model("tiny")
    assert (model.info.name, model.source["revision"]) == ("sentence-transformers/tiny", REVISION)
    assert import_model("tiny", subfolder="onnx/best").source["revision"] == REVISION
    with pytest.raises(CheckpointError, match="tiny has no folder 'other' with files of a model"):
        import_model("tiny", subfolder="other")
    with pytest.raises(CheckpointError, match="'no/such' is no folder here, and could not be downloaded"):
        import_model("no/such")


def test_without_the_client_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(
        MissingExtraError,
        match=r'no folder .owner/name. here, and downloading it needs.*pip install "bertc\[hub\]"',
    ):
        import_model("owner/name")


def test_all_files_that_a_front_end_reads_are_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huggingface_hub = pytest.importorskip("huggingface_hub")
    asked: list[dict[str, Any]] = []

    def snapshot_download(hub_id: str, *, local_files_only: bool, **patterns: Any) -> str:
        assert not local_files_only
        asked.append(patterns)
        return str(tmp_path / hub_id)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    hub.download("owner/name")
    wanted = ["tokenizer.json", "vocab.txt", "merges.txt", "vocab.json", "added_tokens.json", "0_T/vocab.txt"]
    wanted += ["sentencepiece.bpe.model", "spiece.model", "0_T/tokenizer.model"]
    others = ["README.md", "onnx/vocab.txt", "pytorch_model.bin.txt", "fasttext.model"]
    found = huggingface_hub.utils.filter_repo_objects([*wanted, *others], **asked[0])
    assert list(found) == wanted
    if len(asked) > 1:  # there is PyTorch, and no safetensors file was found
        pickles = ["pytorch_model.bin", "pytorch_model.bin.index.json", "2_Dense/pytorch_model.bin"]
        found = huggingface_hub.utils.filter_repo_objects([*wanted, *pickles], **asked[1])
        assert list(found) == pickles
    asked.clear()
    (tmp_path / "owner" / "name" / "a[1]").mkdir(parents=True)
    assert hub.download("owner/name", "a[1]").path == tmp_path / "owner" / "name" / "a[1]"
    below = [f"a[1]/{file}" for file in wanted]
    found = huggingface_hub.utils.filter_repo_objects([*wanted, *below, "a1/vocab.txt"], **asked[0])
    assert list(found) == below
