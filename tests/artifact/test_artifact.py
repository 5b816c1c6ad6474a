"""The file: what is written is read back, in place, and safetensors' own library agrees."""

from __future__ import annotations

import dataclasses
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from bertc.artifact.executable import Tensor
from bertc.artifact.reader import open_artifact
from bertc.artifact.schema import FEATURES, Buffer, Manifest, ModelInfo, Program, Step
from bertc.artifact.writer import write_artifact
from bertc.atomic_file import check_destination, replace_atomically
from bertc.errors import ArtifactError
from bertc.ports import Port

OUTPUT = Port("sentence_embedding", "f32", "sequences", 16)
INFO = ModelInfo(
    "tiny-名", "BertModel", "embedding", (OUTPUT,), 64, labels=("a", "ü"), facts={"hidden_size": 16, "x": 0.5}
)
ATTRIBUTES = {"rows": 3, "e": 0.5, "s": "t", "b": True}
PROGRAM = Program(
    (Buffer("x", "f32", "sequences", 16, 0),),
    (64,),
    (Step("embed", "embeddings", {"input_ids": "input_ids"}, ("x",), ATTRIBUTES),),
    {"sentence_embedding": "x"},
    (Port("input_ids", "i32", "tokens"),),
)
MANIFEST = Manifest(INFO, PROGRAM, {"dtype": "int8"}, {}, {"bertc": "0"})
TENSORS = {
    "a": Tensor("f32", np.arange(32, dtype=np.float32)),
    "b": Tensor("bf16", np.arange(64, dtype=np.uint16).reshape(2, 32)),
    "c": Tensor("i8", np.arange(64, dtype=np.int8)),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.bertc"
    write_artifact(file, MANIFEST, '{"tokenizer": "é"}', TENSORS)
    return file


def test_what_is_written_is_read_back(path: Path) -> None:
    artifact = open_artifact(path, verify=True)
    assert artifact.manifest == MANIFEST
    assert artifact.tokenizer_json == '{"tokenizer": "é"}'
    assert artifact.size == path.stat().st_size
    for name, tensor in TENSORS.items():
        found = artifact.executable.tensors[name]
        assert found.dtype == tensor.dtype
        np.testing.assert_array_equal(found.array, tensor.array)


def test_tensors_are_views_of_mapped_memory_on_64_bytes(path: Path) -> None:
    artifact = open_artifact(path)
    for name in TENSORS:
        view = artifact.executable.tensors[name].array
        assert view.base is not None
        assert view.ctypes.data % 64 == 0
        assert not view.flags.writeable


def test_the_safetensors_library_reads_the_file(path: Path) -> None:
    with safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == set(TENSORS)
        assert file.metadata()["format"] == "bertc"
        np.testing.assert_array_equal(file.get_tensor("a"), TENSORS["a"].array)


def test_writing_the_same_twice_gives_the_same_bytes(path: Path) -> None:
    first = path.read_bytes()
    write_artifact(path, MANIFEST, '{"tokenizer": "é"}', TENSORS)
    assert path.read_bytes() == first


def test_a_file_is_as_readable_as_any_new_file(path: Path) -> None:
    other = path.with_name("other")
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(RuntimeError), replace_atomically(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_umask_is_left_alone_and_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o027)
    try:
        monkeypatch.setattr(os, "umask", None)  # for a moment, other threads would make files for everybody
        with replace_atomically(tmp_path / "file"):
            pass
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("target", ["there", "new"])
def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path, target: str) -> None:
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "there").write_bytes(b"old")
    link = tmp_path / "live"
    link.symlink_to(Path("releases", target))
    check_destination(link)
    with replace_atomically(link) as file:
        file.write(b"new")
    assert link.is_symlink() and link.read_bytes() == b"new"
    assert {path.name for path in (tmp_path / "releases").iterdir()} == {"there", target}
    assert list(tmp_path.iterdir()) and not list(tmp_path.glob(".*"))


def test_a_link_into_a_folder_that_is_missing_is_refused_before_the_work(tmp_path: Path) -> None:
    link = tmp_path / "live"
    link.symlink_to(Path("none", "file"))
    with pytest.raises(ArtifactError, match=r"the folder .*none for the output does not exist"):
        check_destination(link)


def test_a_folder_that_cannot_be_written_to_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: (path, mode) != (tmp_path.resolve(), os.W_OK))
    with pytest.raises(ArtifactError, match="cannot be written to"):
        check_destination(tmp_path / "file")


def test_the_source_is_not_replaced_also_behind_a_link(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(path)
    for output, source in ((path, str(path)), (link, path), (path, link)):
        with pytest.raises(ArtifactError, match="is the source"):
            check_destination(output, source)
    check_destination(tmp_path / "other", path)


def test_what_is_no_regular_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ArtifactError, match="no regular file"):
        check_destination(pipe)
    with pytest.raises(OSError, match="no regular file"), replace_atomically(pipe):
        pass
    assert stat.S_ISFIFO(pipe.stat().st_mode) and list(tmp_path.iterdir()) == [pipe]


def test_a_full_disk_is_reported_with_the_file_that_was_asked_for(path: Path) -> None:
    with pytest.raises(OSError, match="No space left") as failure, replace_atomically(path):
        raise OSError(28, "No space left on device")
    assert failure.value.filename == str(path)


def test_a_newer_format_version_says_to_update(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"format_version":"2"', b'"format_version":"3"'))
    with pytest.raises(ArtifactError, match="update bertc"):
        open_artifact(path)


def test_another_safetensors_file_is_refused_by_name(tmp_path: Path) -> None:
    header = json.dumps({"x": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    file = tmp_path / "model.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ArtifactError, match="bertc compile"):
        open_artifact(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nowhere\.bertc: No such file"):
        open_artifact(tmp_path / "nowhere.bertc")


def test_damaged_weights_are_found_by_verify_only(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    open_artifact(path)
    with pytest.raises(ArtifactError, match="SHA-256"):
        open_artifact(path, verify=True)


def test_a_copy_in_memory_is_the_same_and_outlives_the_file(path: Path) -> None:
    mapped, copied = open_artifact(path), open_artifact(path, mmap=False, verify=True)
    assert copied.manifest == mapped.manifest
    np.testing.assert_array_equal(copied.memory, mapped.memory)
    for name in TENSORS:
        array = copied.executable.tensors[name].array
        assert array.ctypes.data % 64 == 0 and not array.flags.writeable
    raw = copied.memory.tobytes()
    del mapped
    path.write_bytes(b"other")
    copied.executable.check_unchanged()
    assert copied.memory.tobytes() == raw


def test_a_file_that_is_left_alone_or_replaced_by_a_rename_is_unchanged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    artifact = open_artifact(path.name)
    artifact.executable.check_unchanged()
    path.chmod(0o600)
    artifact.executable.check_unchanged()
    write_artifact(path, MANIFEST, "{}", TENSORS)
    artifact.executable.check_unchanged()
    assert artifact.tokenizer_json != open_artifact(path).tokenizer_json
    artifact.verify()
    path.unlink()
    artifact.executable.check_unchanged()
    artifact.verify()


@pytest.mark.parametrize("change", [0, 64, -1])
def test_a_file_that_is_written_to_is_noticed(
    path: Path, change: int, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As ``cp new.bertc live.bertc`` does: the same inode, other bytes; ``change`` more or fewer."""
    os.utime(path, (1e9, 1e9))
    monkeypatch.chdir(path.parent)
    artifact = open_artifact(path.name)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    raw = path.read_bytes()
    path.write_bytes(raw[:change] if change < 0 else raw + bytes(change))
    with pytest.raises(ArtifactError, match=r"tiny.bertc was written to while .* load it again.* mmap=False"):
        artifact.executable.check_unchanged()


@pytest.mark.parametrize(
    ("key", "value"),
    [("model", None), ("model", {"name": 3}), ("program", []), ("recipe", "x")],
)
def test_a_manifest_with_a_wrong_type_names_the_key(key: str, value: object) -> None:
    data = json.loads(MANIFEST.to_json())
    data[key] = value
    with pytest.raises(ArtifactError, match=f"manifest.{key}"):
        Manifest.from_json(json.dumps(data))


def test_a_manifest_without_a_key_names_it() -> None:
    data = json.loads(MANIFEST.to_json())
    del data["program"]["slots"]
    with pytest.raises(ArtifactError, match=r"manifest\.program\.slots is missing"):
        Manifest.from_json(json.dumps(data))


@pytest.mark.parametrize(
    "buffer",
    [
        Buffer("other", "f32", "tokens", 16, 0),
        Buffer("other", "u8", "sequences", 16, 0),
        Buffer("other", "f32", "sequences", 32, 0),
    ],
    ids=["rows", "dtype", "columns"],
)
def test_an_output_must_be_what_is_said_of_it(buffer: Buffer) -> None:
    """A file that maps the sentence's vector to a buffer of tokens would have read beyond an array."""
    program = dataclasses.replace(
        PROGRAM, buffers=(*PROGRAM.buffers, buffer), outputs={"sentence_embedding": "other"}
    )
    with pytest.raises(ArtifactError, match=r"output 'sentence_embedding' does not fit manifest\.model"):
        Manifest.from_json(dataclasses.replace(MANIFEST, program=program).to_json())


@pytest.mark.parametrize(
    ("task", "port"),
    [
        ("embedding", dataclasses.replace(OUTPUT, rows="tokens")),
        ("embedding", dataclasses.replace(OUTPUT, dtype="u8")),
        ("classification", Port("logits", "f32", "sequences", 3)),
        ("classification", Port("logits", "f32", "tokens", 2)),
        ("token_classification", Port("logits", "f32", "sequences", 2)),
        ("classification", OUTPUT),
    ],
)
def test_the_output_must_fit_the_task(task: str, port: Port) -> None:
    """Said of the model and of the program alike, so that only the task can tell."""
    info = dataclasses.replace(INFO, task=task, outputs=(port,))
    buffer = Buffer("x", port.dtype, port.rows, port.columns, 0)
    program = dataclasses.replace(PROGRAM, buffers=(buffer,), outputs={port.name: "x"})
    with pytest.raises(ArtifactError, match=f"does not fit the task {task}"):
        Manifest.from_json(dataclasses.replace(MANIFEST, model=info, program=program).to_json())


@pytest.mark.parametrize("buffer", ["no such buffer", PROGRAM.outputs["sentence_embedding"]])
def test_hidden_states_must_be_buffers_of_tokens(buffer: str) -> None:
    info = dataclasses.replace(INFO, hidden_states=(buffer,))
    with pytest.raises(ArtifactError, match=r"manifest\.model\.hidden_states names"):
        Manifest.from_json(dataclasses.replace(MANIFEST, model=info).to_json())


def test_features_that_a_reader_lacks_are_named_whatever_else_they_bring() -> None:
    program = dataclasses.replace(
        PROGRAM, features=("embed.first_position", "attention.memory", "disentangled")
    )
    text = dataclasses.replace(MANIFEST, program=program).to_json().replace('"rows":3', '"rows":[3]')
    message = (
        r"the file needs what this bertc does not know \(attention\.memory, disentangled\): update bertc"
    )
    with pytest.raises(ArtifactError, match=message):
        Manifest.from_json(text)
    program = dataclasses.replace(PROGRAM, features=tuple(FEATURES))
    manifest = dataclasses.replace(MANIFEST, program=program)
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize("features", ['"x"', "[[]]", "[{}]", "[1]", "null"])
def test_features_that_are_no_list_of_names_are_refused(features: str) -> None:
    text = MANIFEST.to_json().replace('"features":[]', f'"features":{features}')
    with pytest.raises(ArtifactError):
        Manifest.from_json(text)
