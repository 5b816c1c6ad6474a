from __future__ import annotations

from pathlib import Path

import pytest

from bertc.errors import CheckpointError
from bertc.frontends.folder import CheckpointFolder, model_name, snapshot_revision

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("bert", "bert"),
        ("run-7/model", "run-7"),
        (f"hub/models--owner--name/snapshots/{REVISION}", "owner/name"),
        (f"hub/models--name/snapshots/{REVISION}", "name"),
        (
            f"hub/models--owner--name-with--dashes/snapshots/{REVISION}/0_Transformer",
            "owner/name-with--dashes",
        ),
        (f"snapshots/{REVISION}", REVISION),
        ("models--owner--name/snapshots", "snapshots"),
    ],
)
def test_a_model_is_called_as_on_the_hub_or_as_its_folder(tmp_path: Path, path: str, name: str) -> None:
    folder = tmp_path / path
    folder.mkdir(parents=True)
    assert model_name(folder) == name
    (tmp_path / "link").symlink_to(folder)
    assert model_name(tmp_path / "link") == name


def test_the_revision_is_that_of_the_snapshot_around_a_folder(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--owner--name" / "snapshots" / REVISION
    assert snapshot_revision(snapshot) == snapshot_revision(snapshot / "a" / "b") == REVISION
    assert snapshot_revision(tmp_path / "snapshots" / REVISION) is None


def test_a_dangling_link_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").symlink_to(Path("..", "blobs", "0abc"))
    folder = CheckpointFolder(tmp_path, "tiny")
    for read in (folder.has, folder.read_json_if_there):
        with pytest.raises(
            CheckpointError, match=r"tokenizer_config.json is a link to \.\./blobs/0abc, where"
        ):
            read("tokenizer_config.json")


def test_a_git_lfs_pointer_is_said_to_be_one(tmp_path: Path) -> None:
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 90868376\n"
    (tmp_path / "model.safetensors").write_text(text)
    with pytest.raises(CheckpointError, match=r"model.safetensors is a Git LFS pointer.*git lfs pull in"):
        CheckpointFolder(tmp_path, "tiny").map("model.safetensors")
