from __future__ import annotations

import json
import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bertc.errors import CheckpointError
from bertc.frontends.checkpoint import read_tensors
from bertc.frontends.folder import CheckpointFolder
from bertc.ir.formulas import round_to_bf16
from tests.support.tiny_models import write_json, write_safetensors, write_weights

X = np.random.default_rng(0).normal(0, 1, (3, 5)).astype(np.float32)


def _read(path: Path) -> dict[str, Any]:
    tensors = read_tensors(CheckpointFolder(path, "tiny"), model_class="BertModel")
    return {name: tensor.read() for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("F32", X), ("F64", X), ("F16", X.astype(np.float16).astype(np.float32)), ("BF16", round_to_bf16(X))],
)
def test_every_float_type_is_read_exactly(dtype: str, expected: np.ndarray, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"x": X, "y": X[0]}, dtype)
    result = _read(tmp_path)
    np.testing.assert_array_equal(result["x"], expected)
    np.testing.assert_array_equal(result["y"], expected[0])
    assert result["x"].dtype == np.float32


def test_our_reader_and_the_safetensors_library_agree(tmp_path: Path) -> None:
    numpy_io = pytest.importorskip("safetensors.numpy")
    numpy_io.save_file({"b": X, "a": X[0]}, tmp_path / "model.safetensors")
    result = _read(tmp_path)
    assert set(result) == {"a", "b"}
    np.testing.assert_array_equal(result["b"], X)


def test_shards_are_joined(tmp_path: Path) -> None:
    write_weights(tmp_path, {name: X + i for i, name in enumerate("abc")}, shards=2)
    result = _read(tmp_path)
    np.testing.assert_array_equal(result["c"], X + 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value: float, tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"x": np.array([1, value], np.float32)})
    with pytest.raises(CheckpointError, match="'x' holds infinite numbers or NaN"):
        _read(tmp_path)


def test_integer_weights_are_refused_by_name(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"x": np.ones(3)}, "I64")
    with pytest.raises(CheckpointError, match="'x' is I64, expected a float type"):
        _read(tmp_path)


def _file(header: Any, data: bytes = b"\0" * 16) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def _entry(**changes: Any) -> dict[str, Any]:
    return {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16], **changes}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file, or is cut off"),
        (b"\xff" * 8, "not a safetensors file"),
        (b"\x40" + b"\0" * 7 + b"{}", "not a safetensors file, or is cut off"),
        (_file(b"{" * 100_000), "damaged header"),
        (_file([]), "damaged header"),
        (_file({"x": 3}), "'x' has a damaged header entry"),
        (_file(_entry(shape=["4"])), "'x' has a damaged header entry"),
        (_file(_entry(shape=[-4])), "'x' has a damaged header entry"),
        (_file(_entry(data_offsets=[0])), "'x' has a damaged header entry"),
        (_file(_entry(dtype=7)), "'x' has a damaged header entry"),
        (_file(_entry(data_offsets=[16, 32])), "'x' lies outside the file"),
        (_file(_entry(data_offsets=[8, 0])), "'x' lies outside the file"),
        (_file(_entry(shape=[3])), r"'x' \(F32 \[3\]\) takes 16 bytes, expected 12"),
    ],
)
def test_a_damaged_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        _read(tmp_path)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_random_damage_gives_numbers_or_a_checkpoint_error(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(_file(_entry(), np.arange(4, dtype=np.float32).tobytes()))
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    length = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    (tmp_path / "model.safetensors").write_bytes(content[:length])
    try:
        tensors = _read(tmp_path)
    except CheckpointError:
        return
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (None, "'weight_map' must map"),
        ({"x": 3}, "'weight_map' must map"),
        ({"x": "gone.safetensors", "y": "model.safetensors.part"}, "missing: gone.safetensors, model.saf"),
        ({"x": "part.safetensors", "z": "part.safetensors"}, "tensors that its files lack: z"),
        ({"x": "../part.safetensors"}, "'../part.safetensors', which is not inside the folder"),
        ({"x": "/etc/part.safetensors"}, "not inside the folder"),
    ],
)
def test_a_wrong_index_is_refused(weight_map: Any, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_json(folder / "model.safetensors.index.json", {"weight_map": weight_map})
    for place in (folder, tmp_path):
        write_safetensors(place / "part.safetensors", {"x": X})
    with pytest.raises(CheckpointError, match=message):
        _read(folder)


@pytest.mark.parametrize(
    ("files", "revision", "message"),
    [
        ((), None, "model.safetensors is missing in .*, which holds nothing: download"),
        (("config.json", "adapter_model.safetensors"), None, "holds adapter_model.safetensors, config.json"),
        (("tf_model.h5",), None, r"for TensorFlow alone \(tf_model.h5\).*transformers 4.*, from_tf=True\)"),
        (("flax_model.msgpack",), None, r"for Flax alone \(flax_model.msgpack\).*, from_flax=True\)"),
        (
            ("pytorch_model.bin", "tf_model.h5"),
            None,
            r"pickle \(pytorch_model.bin\).*from_pretrained\('/[^,]*'\)",
        ),
        (("pytorch_model-00001-of-00002.bin",), None, r"pickle \(pytorch_model-00001-of-00002.bin\)"),
        ((), "0123", r"tiny has no model.safetensors. If .*from_pretrained\('tiny'\).*'converted'"),
    ],
)
def test_without_safetensors_the_message_says_what_is_there(
    files: tuple[str, ...],
    revision: str | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    for file in files:
        (tmp_path / file).touch()
    with pytest.raises(CheckpointError, match=message):
        read_tensors(CheckpointFolder(tmp_path, "tiny", revision), model_class="BertModel")


def test_nan_in_a_tensor_that_is_not_read_harms_nobody(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"unused": X * np.nan, "x": X})
    tensors = read_tensors(CheckpointFolder(tmp_path, "tiny"), model_class="BertModel")
    np.testing.assert_array_equal(tensors["x"].read(), X)


def _one_tensor(folder: Path) -> Any:
    write_safetensors(folder / "model.safetensors", {"x": X})
    return read_tensors(CheckpointFolder(folder, "tiny"), model_class="BertModel")["x"]


def test_weights_that_were_written_to_are_not_read_again(tmp_path: Path) -> None:
    tensor = _one_tensor(tmp_path)
    np.testing.assert_array_equal(tensor.read(), X)
    os.utime(tensor.file, (1e9, 1e9))  # a write within the clock's resolution would not show
    with pytest.raises(CheckpointError, match=r"model.safetensors was written to .*: compile it again"):
        tensor.read()


def test_weights_that_were_replaced_or_deleted_are_read_as_they_were(tmp_path: Path) -> None:
    tensor = _one_tensor(tmp_path)
    assert tensor.read() is not tensor.read()
    write_safetensors(tmp_path / "new", {"x": X + 1})
    (tmp_path / "new").rename(tensor.file)
    np.testing.assert_array_equal(tensor.read(), X)
    Path(tensor.file).unlink()
    np.testing.assert_array_equal(tensor.read(), X)
