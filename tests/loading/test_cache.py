"""The cache of compiled models when something goes wrong: nothing stale, half-written or lost."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bertc
from bertc import cache
from bertc.compiler import pipeline
from bertc.runtime.environment import cache_folder
from tests.support.tiny_models import make_bert_checkpoint, write_json

TEXT = "a man is playing the guitar"


def test_a_damaged_file_is_compiled_again(
    folder: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = bertc.load(source).encode([TEXT])
    (file,) = folder.glob("*.bertc")
    whole = file.read_bytes()
    for damaged in (b"", whole[:3], whole[:-64], whole[:5000] + b"\0" + whole[5001:]):
        file.write_bytes(damaged)
        capsys.readouterr()
        np.testing.assert_array_equal(bertc.load(source, mmap=False).encode([TEXT]), vectors)
        assert "That file was in the cache: it is compiled again" in capsys.readouterr().err
        assert file.read_bytes() == whole
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    np.testing.assert_array_equal(bertc.load(source, mmap=False, verify=True).encode([TEXT]), vectors)


def test_a_damaged_file_that_cannot_be_removed_is_told(
    folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bertc.load(source).artifact.path
    path.write_bytes(b"")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(bertc.ArtifactError, match="the file holds 0 bytes"):
        bertc.load(source)
    assert list(folder.glob("*.bertc")) == [path]


def test_a_change_behind_a_link_to_a_folder_is_seen(folder: Path, source: Path, tmp_path: Path) -> None:
    shutil.move(source / "1_Pooling", tmp_path / "pooling")
    (source / "1_Pooling").symlink_to(tmp_path / "pooling")
    (source / "loop").symlink_to(source)
    before = bertc.load(source).encode([TEXT])
    write_json(
        tmp_path / "pooling" / "config.json", {"word_embedding_dimension": 32, "pooling_mode_cls_token": True}
    )
    assert not np.array_equal(bertc.load(source).encode([TEXT]), before)
    assert len(list(folder.glob("*.bertc"))) == 2


@pytest.mark.usefixtures("folder")
def test_weights_of_the_same_size_and_time_are_seen(source: Path) -> None:
    weights = source / "model.safetensors"
    before, facts = bertc.load(source).encode([TEXT]), weights.stat()
    make_bert_checkpoint(source, pooling="mean", seed=1)
    for file in source.rglob("*.*"):
        os.utime(file, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert weights.stat().st_size == facts.st_size
    assert not np.array_equal(bertc.load(source).encode([TEXT]), before)


def test_data_that_the_recipe_names_is_part_of_the_key(folder: Path, source: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    recipe = {"calibration": {"data": str(texts), "samples": 128, "held_out": 64}}
    for count in (1, 2, 2):
        texts.write_text("".join(f"the man {index} is playing\n" for index in range(200 * count)))
        bertc.load(source, recipe=recipe)
    assert len(list(folder.glob("*.bertc"))) == 2


def test_a_checkpoint_that_changes_while_it_is_compiled_is_told(
    folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_ = pipeline.run_pipeline

    def disturbed(*arguments: Any, **options: Any) -> Any:
        make_bert_checkpoint(source, pooling="mean", seed=1)
        return compile_(*arguments, **options)

    monkeypatch.setattr(pipeline, "run_pipeline", disturbed)
    with pytest.raises(bertc.CheckpointError, match="was changed while it was compiled: load it again"):
        bertc.load(source)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("error", [KeyboardInterrupt, bertc.CheckpointError("wrong")])
def test_compiling_that_ends_early_leaves_nothing(
    folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch, error: Any
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(pipeline, "run_pipeline", stop)
    with pytest.raises(type(error) if isinstance(error, Exception) else error):
        bertc.load(source)
    assert not list(folder.iterdir())


def test_a_cache_that_is_only_read_is_used(
    folder: Path, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bertc.load(source).artifact.path
    copied = Path(shutil.copytree(source, tmp_path / "copy" / "tiny"))

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(cache, "replace_atomically", refuse)
    monkeypatch.setattr(cache, "_locked", refuse)
    assert bertc.load(source).artifact.path == path
    assert bertc.load(copied).artifact.path == path
    with pytest.raises(bertc.ArtifactError, match=r"cannot be written to \(Read-only file system\)"):
        bertc.load(source, dtype="fp32")
    assert folder == path.parent


def test_a_note_that_cannot_be_written_costs_a_hash(folder: Path, source: Path) -> None:
    folder.mkdir()
    (folder / "notes").write_text("")
    assert bertc.load(source).artifact.path == bertc.load(source).artifact.path


def test_a_limit_of_nothing_keeps_what_was_just_compiled(
    folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTC_CACHE_LIMIT", "0")
    bertc.load(source, dtype="fp32")
    path = bertc.load(source).artifact.path
    assert list(folder.glob("*.bertc")) == [path]
    monkeypatch.setenv("BERTC_CACHE_LIMIT", "-1")
    with pytest.raises(bertc.InputError, match="BERTC_CACHE_LIMIT is '-1': expected a size"):
        cache.size_limit()


def test_files_of_processes_that_were_killed_are_cleared(folder: Path) -> None:
    folder.mkdir()
    old, new = folder / ".x.bertc.0123abcd.tmp", folder / ".x.bertc.4567abcd.tmp"
    for file in (old, new):
        file.write_bytes(b"half")
    os.utime(old, times=(time.time() - 7200,) * 2)
    assert cache.clear() == []
    assert list(folder.iterdir()) == [new]


def test_a_folder_that_is_no_model_is_not_read(
    folder: Path, source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "Entry", None)
    with pytest.raises(bertc.CheckpointError, match=r"is no model folder: there is no config\.json in it"):
        bertc.load(source.parent)
    assert capsys.readouterr().err == "" and not folder.exists()


@pytest.mark.usefixtures("folder")
def test_what_cannot_be_read_is_told(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "weights")

    monkeypatch.setattr(cache, "hash_of", refuse)
    with pytest.raises(bertc.CheckpointError, match="cannot read weights: Permission denied"):
        bertc.load(source)


@pytest.mark.parametrize("path", [None, 5, b"x.bertc", [], "", "a\0b"])
def test_what_is_no_path_is_told(path: Any) -> None:
    with pytest.raises(bertc.InputError, match=r"path is .*: expected the path of a file or folder"):
        bertc.load(path)


@pytest.mark.parametrize("path", ["~nobody-of-this-name/x", "a" * 5000])
def test_a_path_that_no_system_has_is_told(path: str, tmp_path: Path) -> None:
    for call in (bertc.load, lambda path: bertc.compile(path, tmp_path / "x.bertc")):
        with pytest.raises(bertc.CheckpointError):
            call(path)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("recipe", [5, [1], b"x", {1: 2, "a": 3}])
def test_what_is_no_recipe_is_told(source: Path, recipe: Any) -> None:
    with pytest.raises(bertc.RecipeError):
        bertc.load(source, recipe=recipe)


def test_a_home_that_does_not_exist_is_told(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as where nobody knows the user
    monkeypatch.delenv("BERTC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache_folder() == Path("/caches/bertc")
    monkeypatch.delenv("XDG_CACHE_HOME")
    with pytest.raises(bertc.InputError, match="there is no home folder ~ for the cache: set BERTC_CACHE"):
        bertc.load(source)
    monkeypatch.setenv("BERTC_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(bertc.InputError, match="there is no home folder ~nobody-of-this-name for the cache"):
        bertc.load(source)


@pytest.mark.usefixtures("folder")
def test_a_folder_whose_name_is_no_text_is_compiled(source: Path) -> None:
    named = source.rename(source.parent / os.fsdecode(b"a\xffb"))
    assert bertc.load(named).info.name == "a?b"
