"""A checkpoint that is loaded by its folder or hub id is compiled once, into the cache."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import bertc
from bertc import cache
from tests.support.tiny_models import make_bert_checkpoint

TEXT = "a man is playing the guitar"


def compiled_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.bertc"))


def test_a_checkpoint_is_compiled_once(
    folder: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = bertc.load(source).encode([TEXT])
    said = capsys.readouterr().err
    assert "bertc: compiling tiny to int8, once: it is kept in" in said and "cosine" in said
    (file,) = compiled_files(folder)
    assert file.name.startswith("tiny-int8-")
    inode = file.stat().st_ino
    np.testing.assert_array_equal(bertc.load(str(source)).encode([TEXT]), vectors)
    assert capsys.readouterr().err == "" and file.stat().st_ino == inode
    direct = bertc.load(bertc.compile(source, folder / "direct.bertc").path)
    np.testing.assert_array_equal(direct.encode([TEXT]), vectors)


def test_dtype_and_recipe_choose_other_files(folder: Path, source: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"dtype": "bf16"}')
    dtypes = [
        bertc.load(source, dtype="fp32").artifact.manifest.recipe["dtype"],
        bertc.load(source, recipe=recipe).artifact.manifest.recipe["dtype"],
        bertc.load(source, recipe="avx2").artifact.manifest.recipe["dtype"],
        bertc.load(source, recipe=bertc.Recipe(dtype="fp32", task="embedding")).info.task,
    ]
    assert dtypes == ["fp32", "bf16", "int8", "embedding"]
    assert len(compiled_files(folder)) == 4
    recipe.write_text('{"dtype": "fp32"}')
    assert bertc.load(source, recipe=recipe).artifact.manifest.recipe["dtype"] == "fp32"


def test_changed_weights_are_compiled_anew_and_moved_ones_are_not(
    folder: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bertc.load(source).encode([TEXT])
    moved = Path(shutil.move(source, tmp_path / "moved" / "tiny"))
    capsys.readouterr()
    np.testing.assert_array_equal(bertc.load(moved).encode([TEXT]), before)
    assert capsys.readouterr().err == "" and len(compiled_files(folder)) == 1
    make_bert_checkpoint(moved, pooling="mean", seed=1)
    assert not np.array_equal(bertc.load(moved).encode([TEXT]), before)
    assert len(compiled_files(folder)) == 2


@pytest.mark.usefixtures("folder")
def test_a_hub_id_is_found_in_the_hubs_cache_without_its_client(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "hub" / "models--owner--tiny"
    snapshot = Path(shutil.copytree(source, repository / "snapshots" / "1234abcd"))
    shutil.copytree(source, snapshot / "part")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("1234abcd")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    path = bertc.compile(snapshot, tmp_path / "x.bertc").path
    entry = cache.Entry(snapshot, [None, None])
    place = entry.place("owner/tiny-int8")
    place.parent.mkdir(parents=True)
    shutil.copy(path, place)
    entry.remember(place)
    cache.Entry(snapshot / "part", [None, None]).remember(place)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    encoder = bertc.load("owner/tiny")
    assert encoder.artifact.path == place and encoder.info.name == "owner/tiny"
    assert encoder.artifact.manifest.provenance["source"]["revision"] == "1234abcd"
    part = bertc.load("owner/tiny", subfolder="part")
    assert part.artifact.path == place and part.info.name == "owner/tiny"


def test_a_subfolder_is_a_checkpoint_of_its_own(folder: Path, source: Path) -> None:
    before = bertc.load(source).encode([TEXT])
    make_bert_checkpoint(source / "runs" / "second", pooling="mean", seed=1)
    inner = bertc.load(source, subfolder="runs/second/")
    assert not np.array_equal(inner.encode([TEXT]), before)
    expected = bertc.load(source / "runs" / "second").encode([TEXT])
    np.testing.assert_array_equal(inner.encode([TEXT]), expected)
    count = len(compiled_files(folder))
    assert bertc.load(source, subfolder="./runs/second").artifact.path == inner.artifact.path
    assert len(compiled_files(folder)) == count
    with pytest.raises(bertc.CheckpointError, match="tiny has no folder 'third'"):
        bertc.load(source, subfolder="third")
    with pytest.raises(bertc.InputError, match="recipe and subfolder are for a checkpoint"):
        bertc.load(inner.artifact.path, subfolder="runs")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("subfolder", ["../tiny", "a/../..", "/tmp", "a\\b", "a\0b", None, 5])
def test_a_subfolder_is_below_the_folder(source: Path, tmp_path: Path, subfolder: object) -> None:
    calls = (bertc.load, lambda path, **options: bertc.compile(path, tmp_path / "x.bertc", **options))
    for call in calls:
        with pytest.raises(bertc.InputError, match=r"subfolder is .*: expected the path of a folder inside"):
            call(source, subfolder=subfolder)


def test_what_is_no_checkpoint_is_told(folder: Path, source: Path, tmp_path: Path) -> None:
    with pytest.raises(bertc.CheckpointError, match=r"no folder 'missing', and it is not a hub id"):
        bertc.load("./missing")
    with pytest.raises(bertc.ArtifactError, match=r"cannot open missing\.bertc: No such file"):
        bertc.load("missing.bertc")
    path = bertc.compile(source, tmp_path / "x.bertc").path
    with pytest.raises(bertc.InputError, match="is compiled already: dtype, recipe and"):
        bertc.load(path, dtype="int8")
    pytest.importorskip("huggingface_hub")
    with pytest.raises(bertc.CheckpointError, match="'no/such' is no folder here, and could not be downl"):
        bertc.load("no/such", offline=True)
    assert not compiled_files(folder)


def test_a_cache_that_cannot_be_written_is_told(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(bertc.ArtifactError, match=r"cannot be written to .*: set BERTC_CACHE to another"):
        bertc.load(source)
    monkeypatch.setenv("BERTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("BERTC_CACHE_LIMIT", "much")
    with pytest.raises(bertc.InputError, match="BERTC_CACHE_LIMIT is 'much': expected a size such as 20GB"):
        bertc.load(source)


def test_a_lost_or_damaged_note_costs_a_hash_and_nothing_else(
    folder: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bertc.load(source)
    (note,) = (folder / "notes").iterdir()
    for damage in (b"\xff\xfe", b"../../../etc/passwd", b"no-such-file.bertc"):
        note.write_bytes(damage)
        capsys.readouterr()
        assert bertc.load(source).artifact.path in compiled_files(folder)
        assert capsys.readouterr().err == ""


def _load(source: Path, barrier: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    bertc.load(source, num_threads=1).encode([TEXT])


def test_processes_that_start_together_compile_once(
    folder: Path, source: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_load, args=(source, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert capfd.readouterr().err.count("compiling") == 1 and len(compiled_files(folder)) == 1
    assert not list(folder.glob("*.lock"))


def test_the_models_that_were_not_used_for_longest_go_first(
    folder: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [bertc.load(source, dtype=dtype).artifact.path for dtype in ("fp32", "bf16", "int8")]
    for age, path in zip((10, 30, 20), paths, strict=True):
        for note in (folder / "notes").iterdir():
            if note.read_text() == path.name:
                os.utime(note, times=(time.time() - age,) * 2)
    assert [model.path for model in cache.cached_models()] == [paths[0], paths[2], paths[1]]
    bertc.load(source, dtype="bf16")
    assert cache.cached_models()[0].path == paths[1]
    sizes = {model.path: model.bytes for model in cache.cached_models()}
    monkeypatch.setenv("BERTC_CACHE_LIMIT", f"{(sizes[paths[0]] + sizes[paths[1]]) / 1000}kB")
    newest = bertc.load(source, recipe="avx2").artifact.path
    assert [model.path for model in cache.cached_models()] == [newest, paths[1]]
    assert len(list((folder / "notes").iterdir())) == 2
    assert {model.path for model in cache.clear()} == {newest, paths[1]} and not compiled_files(folder)


def test_a_compiled_file_is_loaded_without_the_cache_and_the_compiler(source: Path, tmp_path: Path) -> None:
    path = bertc.compile(source, tmp_path / "x.bertc").path
    script = (
        "import sys, bertc; bertc.load(sys.argv[1]).encode('a text');"
        "print(sorted(m for m in sys.modules if m.startswith(('bertc.cache', 'bertc.comp', 'bertc.ir'))))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
